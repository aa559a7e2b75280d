// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
)

// scene is one request with what its answer has to be.
type scene struct {
	title    string
	manifest string   // standard input of kubectl
	args     []string // of kubectl
	refused  bool
	want     []string // each must be in the answer
	wantNot  []string // none may be in the answer
}

// play sends the request, prints it with the answer, and fails if the answer is
// not what it has to be.
func (s *stage) play(ctx context.Context, number int, one scene) error {
	fmt.Printf("\n%d. %s\n\n", number, one.title)
	answer, err := s.kubectl(ctx, one.manifest, one.args...)
	if one.manifest != "" {
		fmt.Printf("   $ kubectl %s <<EOF\n%s   EOF\n", strings.Join(one.args, " "), indent(one.manifest))
	} else {
		fmt.Printf("   $ kubectl %s\n", strings.Join(one.args, " "))
	}
	fmt.Print(indent(answer))
	if refused := err != nil; refused != one.refused {
		return fmt.Errorf("scene %d: refused is %t, should be %t; the webhook said last:\n%s", number, refused, one.refused, s.lastWords())
	}
	for _, text := range one.want {
		if !strings.Contains(answer, text) {
			return fmt.Errorf("scene %d: the answer lacks %q", number, text)
		}
	}
	for _, text := range one.wantNot {
		if strings.Contains(answer, text) {
			return fmt.Errorf("scene %d: the answer should not have %q", number, text)
		}
	}
	return nil
}

func indent(text string) string {
	return "   " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n   ") + "\n"
}

const kymaSystem = `apiVersion: v1
kind: Namespace
metadata: {name: kyma-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: operator.kyma-project.io/v1alpha2
kind: Istio
metadata: {name: default, namespace: kyma-system}
spec:
  config:
    authorizers:
    - {name: oauth2-proxy, service: oauth2-proxy.oauth2-proxy.svc.cluster.local, port: 80, pathPrefix: "/verify?original="}
`

const demoNamespace = `apiVersion: v1
kind: Namespace
metadata: {name: demo}
`

const openRule = `apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata:
  name: httpbin
  namespace: demo%s
spec:
  hosts: [httpbin]
  gateway: kyma-system/kyma-gateway
  service: {name: httpbin, port: 8000}
  rules:
  - {path: /*, methods: [GET]}
`

const annotated = `
  annotations: {extauth-guard.io/inject: "true"}`

const corporate = `apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata:
  name: orders
  namespace: demo
spec:
  hosts: [orders]
  gateway: kyma-system/kyma-gateway
  service: {name: orders, port: 8000}
  rules:
  - {path: /*, methods: [GET], extAuth: {authorizers: [ouath2-proxy]}}
`

const mixed = `apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata:
  name: mixed
  namespace: demo
  annotations: {extauth-guard.io/inject: "true"}
spec:
  hosts: [mixed]
  gateway: kyma-system/kyma-gateway
  service: {name: mixed, port: 8000}
  rules:
  - {path: /orders, methods: [GET], jwt: {authentications: [{issuer: "https://idp.example.com", jwksUri: "https://idp.example.com/keys"}]}}
  - {path: /healthz, methods: [GET], noAuth: true}
  - {path: /admin, methods: [GET, POST]}
`

func scenes() []scene {
	rules := []string{"get", "apirule", "-n", "demo"}
	return []scene{
		{
			title:    "An open rule and one annotation: the rule comes back protected.",
			manifest: fmt.Sprintf(openRule, annotated),
			args:     []string{"create", "-f", "-", "-o", "jsonpath={.spec.rules}{\"\\n\"}{.metadata.annotations}{\"\\n\"}"},
			want:     []string{`"extAuth":{"authorizers":["oauth2-proxy"]}`, `extauth-guard.io/injected`},
		},
		{
			title:    "The same without the annotation: the CRD itself refuses a rule without an access strategy.",
			manifest: strings.ReplaceAll(fmt.Sprintf(openRule, ""), "httpbin", "forgotten"),
			args:     []string{"create", "-f", "-"},
			refused:  true,
			want:     []string{"One of the following fields must be set: noAuth, jwt, extAuth"},
		},
		{
			title:    "An authorizer that the mesh does not know: 422 with the field, the registered names and a suggestion.",
			manifest: corporate,
			args:     []string{"create", "-f", "-"},
			refused:  true,
			want: []string{
				"spec.rules[0].extAuth.authorizers[0]", `Invalid value: "ouath2-proxy"`,
				"registered: oauth2-proxy", `did you mean "oauth2-proxy"?`,
			},
		},
		{
			title: "After that authorizer is added to the Istio CR …",
			args: []string{
				"patch", "istio", "default", "-n", "kyma-system", "--type", "json", "-p",
				`[{"op":"add","path":"/spec/config/authorizers/-","value":{"name":"ouath2-proxy","service":"corp.auth.svc.cluster.local","port":80,"pathPrefix":"/verify?original="}}]`,
			},
		},
		{
			title:    "… the same APIRule is accepted at once.",
			manifest: corporate,
			args:     []string{"create", "-f", "-"},
			want:     []string{"orders created"},
		},
		{
			title:    "A jwt rule and a \"noAuth: true\" rule beside an injected one stay as they are.",
			manifest: mixed,
			args:     []string{"create", "-f", "-"},
			want:     []string{"mixed created", "RuleLeftOpen"},
		},
		{
			title: "What is stored: the jwt rule and the open rule as they were written, the third one protected.",
			args:  append(rules, "mixed", "-o", "jsonpath={range .spec.rules[*]}{@}{\"\\n\"}{end}"),
			want: []string{
				`{"jwt":{"authentications":[{"issuer":"https://idp.example.com","jwksUri":"https://idp.example.com/keys"}]},"methods":["GET"],"path":"/orders"}`,
				`{"methods":["GET"],"noAuth":true,"path":"/healthz"}`,
				`{"extAuth":{"authorizers":["oauth2-proxy"]},"methods":["GET","POST"],"path":"/admin"}`,
			},
		},
		{
			title:    "A typo in the annotation is never read as \"did not ask\".",
			manifest: strings.ReplaceAll(fmt.Sprintf(openRule, strings.Replace(annotated, `"true"`, `"yes"`, 1)), "httpbin", "typo"),
			args:     []string{"create", "-f", "-"},
			refused:  true,
			want:     []string{`metadata.annotations[extauth-guard.io/inject]: Invalid value: "yes"`, `must be "true" or "false"`},
		},
	}
}
