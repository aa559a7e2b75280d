// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// What Kyma left of an earlier version of another APIRule blocks, but denies nobody: mostly
// it is gone in a moment. A neighbour that says so itself still denies.
func TestConflictWithWhatIsLeft(t *testing.T) {
	view := judgedRule(t, `[{path: "/*", methods: [GET], extAuth: {authorizers: [corp]}}]`)
	left := policy.Neighbour{Object: "APIRule far/old", Authorizer: "a", Left: true, Foreign: true}
	facts := enforced()
	facts.Neighbours = map[types.NamespacedName][]policy.Neighbour{cart(): {left}}
	judged := policy.Judge(view, facts, policy.DefaultSettings())
	const want = `warn: spec.rules[0].extAuth.authorizers[0]: Invalid value: "corp": the workload behind Service shop/cart would also get the authorizer "a", from the policies of an earlier version of APIRule far/old, which Kyma did not replace: istiod allows one authorizer for each workload and would answer all requests of both with 403; use the same authorizer in both, or separate Services whose selectors share no Pod [AuthorizerConflict]`
	assert.Contains(t, sentences(judged.Findings), want)
	assert.Equal(t, policy.Blocked, judged.Verdict.Verdict)
	for _, one := range judged.Findings {
		assert.NotContains(t, one.Unnamed().Err.Error(), "far/old")
	}
	facts.Neighbours[cart()] = []policy.Neighbour{left, {Object: "APIRule shop/new", Authorizer: "b"}}
	found := policy.Check(view, facts, policy.DefaultSettings())
	assert.True(t, policy.Denies(found))
	assert.Contains(t, found[0].Err.Error(), "from APIRule shop/new")
}
