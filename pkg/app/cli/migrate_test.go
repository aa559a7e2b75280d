// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

const legacy = `apiVersion: gateway.kyma-project.io/v1beta1
kind: APIRule
metadata: {name: old, namespace: shop}
spec:
  host: old
  gateway: kyma-gateway.kyma-system
  service: {name: cart, port: 8080}
  rules:
  - path: /.*
    methods: [GET]
    accessStrategies: [{handler: oauth2_introspection, config: {required_scope: [read]}}]
---
kind: ConfigMap
`

// What migrate prints, lint accepts and inject completes.
func TestMigrateIsTheBeginningOfAPipeline(t *testing.T) {
	code, stdout, stderr := run(t, legacy, "migrate", "-", "--authorizers", "corp")
	assert.Equal(t, 0, code, stderr)
	assert.Equal(t, `---
# spec.rules[0].accessStrategies[0].config.required_scope: scopes read are not checked by an oauth2-proxy; check them in the application, or add extAuth.restrictions with requiredScopes
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata:
  annotations:
    extauth-guard.io/authorizers: corp
  name: old
  namespace: shop
spec:
  gateway: kyma-system/kyma-gateway
  hosts:
  - old
  rules:
  - methods:
    - GET
    path: /*
  service:
    name: cart
    port: 8080
`, stdout)
	assert.Contains(t, stderr, "stdin:11: spec.rules[0].accessStrategies[0].config.required_scope: scopes read")

	code, linted, _ := run(t, stdout, "lint", "-", "--authorizers", "corp", "--strict")
	assert.Equal(t, 0, code, linted)
	_, injected, _ := run(t, stdout, "inject", "-")
	assert.Contains(t, injected, "    path: /*\n    extAuth:\n      authorizers:\n      - corp\n")
}

func TestMigrateExitCodes(t *testing.T) {
	code, _, stderr := run(t, legacy, "migrate", "-", "--strict")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "1 thing was not carried over")
	code, _, stderr = run(t, "kind: ConfigMap\n", "migrate", "-")
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, "nothing to migrate")
	code, _, _ = run(t, "a: [", "migrate", "-")
	assert.Equal(t, 2, code)
}
