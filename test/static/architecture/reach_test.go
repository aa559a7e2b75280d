// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// coreCeiling is the highest layer that must work without a cluster: lint and
// inject run offline, and the decisions are tested as plain functions.
const coreCeiling = 2

func TestCoreReachesNoCluster(t *testing.T) {
	// logr is not in this list: apimachinery brings it in by itself. That the
	// core does not import it directly is said in .golangci.yaml.
	for _, p := range module(t) {
		layer, ok := layers()[layerName(p.ImportPath)]
		if !ok || layer > coreCeiling {
			continue
		}
		for _, violation := range reaches(p, "k8s.io/client-go", "sigs.k8s.io/controller-runtime", "helm.sh") {
			assert.Fail(t, violation, "layers 0 to %d decide from values; what needs a cluster belongs to a higher layer", coreCeiling)
		}
	}
}

// Helm brings some 300 packages and their vulnerability reports. They belong to
// a job that ends, not to the always-running webhook nor to an offline command.
func TestHelmStaysInTheJob(t *testing.T) {
	for _, p := range module(t) {
		if !p.isUnder("pkg", "cmd") {
			continue
		}
		if !p.isUnder("pkg/helm", "pkg/bootstrap/steps", "pkg/app/job", "cmd/bootstrap") {
			for _, violation := range reaches(p, "helm.sh") {
				assert.Fail(t, violation)
			}
		}
		if !p.isUnder("pkg/helm") {
			for _, path := range p.Imports {
				assert.False(t, isOrUnder(path, "helm.sh"), "%s imports %s: only pkg/helm may", p.local(), path)
			}
		}
	}
}

// One root for each binary, so that no binary links what it does not use, and
// tests under test/ run the very wiring that ships.
func TestACompositionRootHasOneCommand(t *testing.T) {
	commands := map[string]string{
		modulePath + "/pkg/app/cli":   "cmd/kubectl-extauth",
		modulePath + "/pkg/app/job":   "cmd/bootstrap",
		modulePath + "/pkg/app/serve": "cmd/webhook",
	}
	for _, p := range module(t) {
		for _, path := range p.Imports {
			command, ok := commands[path]
			if ok && !p.isUnder(command, "test", "hack") {
				assert.Fail(t, fmt.Sprintf("%s imports %s: only %s, test/ and hack/ may", p.local(), strings.TrimPrefix(path, modulePath+"/"), command))
			}
		}
	}
}

// reaches lists which of the forbidden modules p depends on, at any depth.
func reaches(p pkg, forbidden ...string) []string {
	var violations []string
	for _, module := range forbidden {
		for _, dep := range p.Deps {
			if isOrUnder(dep, module) {
				violations = append(violations, fmt.Sprintf("%s reaches %s (go list -deps says through which import)", p.local(), dep))
				break
			}
		}
	}
	return violations
}

func isOrUnder(path, parent string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}

func TestReaches(t *testing.T) {
	p := pkg{ImportPath: modulePath + "/pkg/policy", Deps: []string{"fmt", "k8s.io/client-go/rest", "k8s.io/client-go/tools/cache", "helm.shipping/x"}}
	assert.Len(t, reaches(p, "k8s.io/client-go", "helm.sh"), 1, "one line a module, and a path that merely begins alike is another module")
}
