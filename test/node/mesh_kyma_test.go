// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build mesh

package node

import (
	"context"
	"time"

	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

// kymaOnMesh plays Kyma's two managers. The mesh configuration differs from theirs in
// two things: no provider that needs an extension of Istio's own Envoy, and
// certificates of two minutes, so that they are renewed while the suite runs.
func kymaOnMesh(ctx context.Context, c *cluster) {
	kyma.Managers{Typed: c.typed, Untyped: c.untyped, Change: func(mesh map[string]any) {
		mesh["defaultProviders"] = map[string]any{}
		mesh["defaultConfig"] = map[string]any{"proxyMetadata": map[string]any{"SECRET_TTL": "2m0s"}}
	}}.Run(ctx, 500*time.Millisecond)
}
