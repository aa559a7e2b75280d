// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import "testing"

// walkNamespaces visits the worlds in which a rule leads to a Service of another
// namespace: whose owner says what it wants, with and without policies, alone and beside
// a rule to a Service of the APIRule's own namespace.
func walkNamespaces(t *testing.T, stride int) (worlds int64) {
	t.Helper()
	says, rules, authorities, governed := voices(), shapes(), meshes(), governments(t)
	few := []voice{says[0], says[1], says[2], says[3], says[4], says[5], says[6]}
	ledger := func(s shape) route { return route{shape: s, service: "ledger", own: true, foreign: true} }
	t.Run("one rule", func(t *testing.T) {
		worlds += walk(t, stride, func(d []int) string {
			return world{
				apirule: says[d[0]], services: map[string]voice{"ledger": few[d[1]]}, namespace: few[d[2]], elsewhere: says[d[3]],
				routes: []route{ledger(rules[d[4]])}, mesh: authorities[d[5]],
			}.create()
		}, len(says), len(few), 4, len(says), len(rules), 2)
	})
	t.Run("policies", func(t *testing.T) {
		worlds += walk(t, stride, func(d []int) string {
			return world{
				apirule: few[d[0]], services: map[string]voice{"ledger": few[d[1]]}, elsewhere: few[d[2]],
				routes: []route{ledger(rules[d[3]])}, mesh: authorities[d[4]], rulings: governed[d[5]],
			}.create()
		}, len(few), len(few), 5, len(rules), 3, len(governed))
	})
	t.Run("beside a Service of one's own", func(t *testing.T) {
		worlds += walk(t, stride, func(d []int) string {
			both := []route{{shape: rules[d[3]], service: "cart"}, ledger(rules[d[4]])}
			if d[5] == 1 {
				both[0], both[1] = both[1], both[0]
			}
			return world{
				apirule: few[d[0]], services: map[string]voice{"ledger": few[d[1]], "cart": few[d[2]]}, elsewhere: says[1],
				routes: both, mesh: authorities[d[6]], rulings: governed[d[7]],
			}.create()
		}, 3, 4, 3, len(rules), len(rules), 2, 2, 8)
	})
	t.Run("updates", func(t *testing.T) {
		worlds += walk(t, stride, func(d []int) string {
			before := world{
				apirule: few[d[0]], services: map[string]voice{"ledger": few[d[2]]}, elsewhere: few[d[3]],
				routes: []route{ledger(rules[d[4]])}, mesh: authorities[0], rulings: governed[d[6]],
			}
			after := before
			after.apirule = few[d[1]]
			after.routes = []route{ledger(rules[d[5]])}
			return update(before, after)
		}, 4, 4, 4, 3, len(rules), len(rules), 8)
	})
	return worlds
}
