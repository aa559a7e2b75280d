// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command package makes an archive of the chart for a release: with its version,
// and pinned to its image where the digest is known.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

func main() {
	version := flag.String("version", "0.0.0", "version of the chart and of the image")
	digest := flag.String("digest", "", "sha256:<hex> of the image")
	out := flag.String("out", "dist", "folder for the archive")
	flag.Parse()
	path, err := pack(*version, *digest, *out)
	if err != nil {
		fmt.Fprintln(os.Stderr, "package:", err)
		os.Exit(1)
	}
	fmt.Println(path)
}

func pack(version, digest, out string) (string, error) {
	root, err := checkout.Root()
	if err != nil {
		return "", err
	}
	loaded, err := loader.LoadDir(root + "/charts/extauth-guard")
	if err != nil {
		return "", fmt.Errorf("loading the chart: %w", err)
	}
	loaded.Metadata.Version, loaded.Metadata.AppVersion = version, version
	annotate(loaded, version, digest)
	if digest != "" {
		if err := pin(loaded, digest); err != nil {
			return "", err
		}
	}
	path, err := chartutil.Save(loaded, out)
	if err != nil {
		return "", fmt.Errorf("writing the archive: %w", err)
	}
	return path, nil
}

// annotate tells Artifact Hub whether the version is one to try out, and which image
// belongs to it.
func annotate(loaded *chart.Chart, version, digest string) {
	image, _ := loaded.Values["image"].(map[string]any)
	reference := fmt.Sprintf("%s:%s", image["repository"], version)
	if digest != "" {
		reference += "@" + digest
	}
	annotations := loaded.Metadata.Annotations
	annotations["artifacthub.io/prerelease"] = strconv.FormatBool(strings.HasPrefix(version, "0.") || strings.Contains(version, "-"))
	annotations["artifacthub.io/images"] = "- name: extauth-guard\n  image: " + reference + "\n  platforms: [linux/amd64, linux/arm64]\n"
}

// pin writes the digest into values.yaml as it is in the archive, comments and all.
func pin(loaded *chart.Chart, digest string) error {
	const before = "\n  digest: \"\"\n"
	for _, file := range loaded.Raw {
		if file.Name != chartutil.ValuesfileName {
			continue
		}
		if !bytes.Contains(file.Data, []byte(before)) {
			return errors.New("values.yaml has no empty image.digest")
		}
		file.Data = bytes.Replace(file.Data, []byte(before), []byte("\n  digest: "+digest+"\n"), 1)
		return nil
	}
	return errors.New("the chart has no values.yaml")
}
