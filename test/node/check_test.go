// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build node

package node

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/app/cli"
)

// checked has kubectl extauth check look at the installation. It reaches the Pods
// as from a laptop: through the API server and the kubelet.
func (c *cluster) checked(t *testing.T) {
	eventually(t, "all replicas", c.allReady)
	var out, errs bytes.Buffer
	// Somebody else's authorizer has no Service here, so that the whole fails.
	err := cli.Run(t.Context(), []string{"check", "-o", "json", "--kubeconfig", c.kubeconfig}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	t.Logf("%v\n%s", err, out.String())
	var results []struct{ Category, Name, Status, Detail string }
	require.NoError(t, json.Unmarshal(out.Bytes(), &results), errs.String())
	pods, err := c.webhooks(t.Context())
	require.NoError(t, err)
	require.Len(t, pods, 2)
	looked := map[string]bool{}
	for _, one := range results {
		looked[one.Category] = true
		if (one.Category == "webhooks" && one.Status != "skipped") || one.Category == "behaviour" || one.Category == "policies" {
			assert.Equal(t, "passed", one.Status, "%s: %s", one.Name, one.Detail)
		}
		if strings.HasPrefix(one.Name, "the served certificate") {
			for _, pod := range pods {
				assert.Contains(t, one.Detail, pod.Name)
			}
			assert.Contains(t, one.Detail, "for extauth-guard.extauth-guard.svc until ")
			assert.NotContains(t, one.Detail, "not what is served")
		}
	}
	assert.True(t, looked["webhooks"] && looked["behaviour"], "%v", looked)
}
