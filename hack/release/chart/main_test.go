// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"
	"sigs.k8s.io/yaml"
)

func TestThePackagedChart(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	cases := map[string]struct {
		version, digest string
		image           string
		prerelease      string
	}{
		"a release":         {"1.2.3", digest, "ghcr.io/extauth-guard/extauth-guard:1.2.3@" + digest, "false"},
		"one to try out":    {"1.3.0-rc.1", digest, "ghcr.io/extauth-guard/extauth-guard:1.3.0-rc.1@" + digest, "true"},
		"one before 1.0":    {"0.4.0", digest, "ghcr.io/extauth-guard/extauth-guard:0.4.0@" + digest, "true"},
		"one without image": {"1.2.3", "", "ghcr.io/extauth-guard/extauth-guard:1.2.3", "false"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			path, err := pack(tc.version, tc.digest, t.TempDir())
			require.NoError(t, err)
			packed, err := loader.LoadFile(path)
			require.NoError(t, err)
			assert.Equal(t, tc.version, packed.Metadata.Version)
			assert.Equal(t, tc.version, packed.AppVersion())
			assert.Equal(t, tc.digest, packed.Values["image"].(map[string]any)["digest"])
			assert.Equal(t, tc.prerelease, packed.Metadata.Annotations["artifacthub.io/prerelease"])
			var images []struct {
				Name, Image string
				Platforms   []string
			}
			require.NoError(t, yaml.UnmarshalStrict([]byte(packed.Metadata.Annotations["artifacthub.io/images"]), &images))
			require.Len(t, images, 1)
			assert.Equal(t, tc.image, images[0].Image)
		})
	}
}
