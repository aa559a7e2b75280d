// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build node

package node

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

// standInForKyma plays Kyma's Istio manager; and it makes APIRules Ready, as Kyma's other
// manager does, without the sidecars that the node has not got.
func standInForKyma(ctx context.Context, c *cluster) {
	istio := kyma.Managers{Typed: c.typed, Untyped: c.untyped}
	_ = wait.PollUntilContextCancel(ctx, 500*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_ = errors.Join(istio.Istio(ctx), c.makeReady(ctx)) // an API server that restarts is asked again
		return false, nil
	})
}

// provider is an authorizer, as istiod has it.
type provider struct {
	Name string `json:"name"`
	HTTP struct {
		Service    string `json:"service"`
		Port       int    `json:"port"`
		PathPrefix string `json:"pathPrefix,omitempty"`
	} `json:"envoyExtAuthzHttp"`
}

// providers reads the authorizers of the mesh.
func (c *cluster) providers(ctx context.Context) ([]provider, error) {
	config, err := c.typed.CoreV1().ConfigMaps("istio-system").Get(ctx, "istio", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	var mesh struct {
		Providers []provider `json:"extensionProviders"`
	}
	err = yaml.Unmarshal([]byte(config.Data["mesh"]), &mesh)
	return mesh.Providers, err
}
