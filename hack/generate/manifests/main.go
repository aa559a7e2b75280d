// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command manifests writes what the code knows about its own deployment as YAML:
// the webhooks, for the chart, and bases for kustomize.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

func write() error {
	root, err := checkout.Root()
	if err != nil {
		return err
	}
	forChart, err := hooks(webhook.Registration{Client: client("")})
	if err != nil {
		return err
	}
	forKustomize, err := configurations(webhook.Registration{
		Client: client("extauth-guard"), ExcludedNamespaces: []string{"extauth-guard"},
	})
	if err != nil {
		return err
	}
	// The chart reads its webhooks from this file, so it comes first.
	if err := save(root, "charts/extauth-guard/files/webhooks.yaml", "pkg/webhook/registration.go", forChart); err != nil {
		return err
	}
	if err := save(root, "config/webhook/manifests.yaml", "pkg/webhook/registration.go", forKustomize); err != nil {
		return err
	}
	// And the CRDs, which controller-gen writes.
	for _, resource := range []string{v1alpha1.Resource, v1alpha1.GuardResource} {
		crd, err := os.ReadFile(filepath.Join(root, "config", "crd", v1alpha1.Group+"_"+resource+".yaml"))
		if err != nil {
			return err
		}
		if err := save(root, "charts/extauth-guard/files/"+resource+".yaml", "config/crd", crd); err != nil {
			return err
		}
	}
	files, err := kustomize()
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := save(root, name, "charts/extauth-guard", content); err != nil {
			return err
		}
	}
	return nil
}

// save writes a file that was made from source.
func save(root, name, source string, content []byte) error {
	path := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	head := "# Generated from " + source + " by make generate; do not edit.\n"
	return os.WriteFile(path, append([]byte(head), content...), 0o644)
}

// client points to our Service in a namespace.
func client(namespace string) func(string) admissionregistrationv1.WebhookClientConfig {
	return func(path string) admissionregistrationv1.WebhookClientConfig {
		return admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{
			Namespace: namespace, Name: "extauth-guard", Path: new(path), Port: ptr.To[int32](443),
		}}
	}
}

// hooks returns the webhooks by the kind of their configuration, which the chart's
// template completes by what an installation decides.
func hooks(registration webhook.Registration) ([]byte, error) {
	return yaml.Marshal(map[string]any{
		"MutatingWebhookConfiguration":   registration.Mutating().Webhooks,
		"ValidatingWebhookConfiguration": registration.Validating().Webhooks,
	})
}

func configurations(registration webhook.Registration) ([]byte, error) {
	var all bytes.Buffer
	for _, object := range []runtime.Object{registration.Mutating(), registration.Validating()} {
		raw, err := yaml.Marshal(object)
		if err != nil {
			return nil, err
		}
		all.WriteString("---\n")
		all.Write(raw)
	}
	return all.Bytes(), nil
}
