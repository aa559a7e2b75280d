// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"
)

// kustomizations are the names that kustomize looks for.
func kustomizations() []string {
	return []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}
}

// patchesOf returns the paths of the files that a kustomization in folder uses as
// patches. Such a file has a part of an object, which nobody applies as it is.
func patchesOf(folder string) []string {
	var paths []string
	for _, name := range kustomizations() {
		raw, err := os.ReadFile(filepath.Join(folder, name)) //nolint:gosec // beside files that the user named
		if err != nil {
			continue
		}
		var read struct {
			Patches []struct {
				Path string `yaml:"path"`
			} `yaml:"patches"`
			StrategicMerge []string `yaml:"patchesStrategicMerge"`
			JSON6902       []struct {
				Path string `yaml:"path"`
			} `yaml:"patchesJson6902"`
		}
		if yaml.Unmarshal(raw, &read) != nil {
			continue // whoever reads the file itself says so
		}
		named := read.StrategicMerge
		for _, one := range read.Patches {
			named = append(named, one.Path)
		}
		for _, one := range read.JSON6902 {
			named = append(named, one.Path)
		}
		for _, one := range named {
			if one != "" && !strings.Contains(one, "\n") {
				paths = append(paths, filepath.Join(folder, filepath.FromSlash(one)))
			}
		}
	}
	return paths
}

// markPatches marks the files that a kustomization beside one of them uses as
// patches.
func (f *Files) markPatches() {
	seen, patches := map[string]bool{}, map[string]bool{}
	for _, file := range f.List {
		folder := filepath.Dir(file.path)
		if file.Name == "stdin" || seen[folder] {
			continue
		}
		seen[folder] = true
		for _, path := range patchesOf(folder) {
			patches[path] = true
		}
	}
	for i := range f.List {
		f.List[i].Patch = patches[filepath.Clean(f.List[i].path)]
	}
}
