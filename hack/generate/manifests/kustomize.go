// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

// bases says in which base of config/ a kind is.
var bases = map[string]string{
	"ClusterRole": "rbac", "ClusterRoleBinding": "rbac", "Role": "rbac", "RoleBinding": "rbac", "ServiceAccount": "rbac",
	"ValidatingAdmissionPolicy": "rbac", "ValidatingAdmissionPolicyBinding": "rbac",
	"ConfigMap": "manager", "Deployment": "manager", "NetworkPolicy": "manager",
	"PodDisruptionBudget": "manager", "Secret": "manager", "Service": "manager",
}

// kustomize returns the files of config/ that follow from the chart's defaults:
// for people who do not use Helm.
func kustomize() (map[string][]byte, error) {
	rendering, err := chart.Render(chart.Options{})
	if err != nil {
		return nil, err
	}
	objects, err := rendering.Installed()
	if err != nil {
		return nil, err
	}
	content := map[string]*bytes.Buffer{"rbac": {}, "manager": {}}
	for _, object := range objects {
		if strings.HasSuffix(object.GetKind(), "WebhookConfiguration") || object.GetKind() == "CustomResourceDefinition" {
			continue // from the code itself
		}
		base, ok := bases[object.GetKind()]
		if !ok {
			return nil, fmt.Errorf("the chart renders a %s: say in which base it belongs", object.GetKind())
		}
		chart.WithoutHelm(object)
		raw, err := yaml.Marshal(object.Object)
		if err != nil {
			return nil, err
		}
		content[base].WriteString("---\n")
		content[base].Write(raw)
	}
	files := map[string][]byte{
		"config/default/kustomization.yaml": []byte("namespace: " + chart.Namespace + "\nresources:\n- namespace.yaml\n- ../crd\n- ../rbac\n- ../manager\n- ../webhook\n"),
		"config/default/namespace.yaml":     []byte("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + chart.Namespace + "\n  labels:\n    pod-security.kubernetes.io/enforce: restricted\n"),
		"config/crd/kustomization.yaml":     []byte("resources:\n- extauth-guard.io_extauthpolicies.yaml\n"),
		"config/webhook/kustomization.yaml": []byte("resources:\n- manifests.yaml\n"),
	}
	for _, base := range slices.Sorted(maps.Keys(content)) {
		files["config/"+base+"/manifests.yaml"] = content[base].Bytes()
		files["config/"+base+"/kustomization.yaml"] = []byte("resources:\n- manifests.yaml\n")
	}
	return files, nil
}
