// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

const (
	mutate    = webhook.MutateAPIRule
	validate  = webhook.ValidateAPIRule
	istios    = webhook.ValidateIstio
	service   = webhook.ValidateService
	namespace = webhook.ValidateNamespace
)

// Inputs are all families.
func Inputs() []Input {
	return slices.Concat(annotations(), rules(), metadata(), texting(), updates(), authorizers())
}

// annotated is an object with one annotation, whose value is made.
func annotated(name string, hook webhook.Hook, key string, n, most int, value func(n int) string) Input {
	return Input{Name: name, Hook: hook, N: n, Most: most, Object: func(n int) map[string]any {
		return object(hook, map[string]any{key: value(n)}, nil)
	}}
}

func repeated(text string) func(int) string {
	return func(n int) string { return strings.Repeat(text, n) }
}

func separated(separator string) func(int) string {
	return func(n int) string { return names(n, separator) }
}

func annotations() []Input {
	const own = annotation.Prefix
	return []Input{
		annotated("authorizers: nothing but commas", mutate, annotation.Authorizers, 4000, 250_000, repeated(",")),
		annotated("authorizers: nothing but commas, validated", validate, annotation.Authorizers, 4000, 250_000, repeated(",")),
		annotated("authorizers: many names", mutate, annotation.Authorizers, 1000, 46_000, separated(",")),
		annotated("authorizers: few names that are read", mutate, annotation.Authorizers, 4, 16, func(n int) string { return strings.TrimSuffix(names(n, ","), ",") }),
		annotated("authorizers: one name again and again", mutate, annotation.Authorizers, 2000, 100_000, repeated("a,")),
		annotated("authorizers: a long name", validate, annotation.Authorizers, 4000, 250_000, repeated("a")),
		annotated("authorizers: blanks", validate, annotation.Authorizers, 4000, 250_000, repeated(" ")),
		annotated("authorizers: names of capitals", validate, annotation.Authorizers, 1000, 40_000, repeated("A,")),
		annotated("replace: many", validate, annotation.Replace, 1000, 40_000, repeated("noAuth,")),
		annotated("inject: a long text", mutate, annotation.Inject, 4000, 250_000, repeated("true")),
		annotated("injected: a long list", validate, annotation.Injected, 1000, 60_000, func(n int) string { return "[" + strings.Repeat("{},", n) + "{}]" }),
		annotated("an unknown key with a long value", validate, own+"injet", 4000, 250_000, repeated("x")),
		{Name: "many keys of ours", Hook: validate, N: 500, Most: 20_000, Object: func(n int) map[string]any {
			return object(validate, texts(n, func(i int) string { return fmt.Sprint(own, "k", i) }, "true"), nil)
		}},
		{Name: "many keys of ours in capitals", Hook: validate, N: 500, Most: 20_000, Object: func(n int) map[string]any {
			return object(validate, texts(n, func(i int) string { return fmt.Sprint(strings.ToUpper(own), "k", i) }, "true"), nil)
		}},
		{Name: "many keys of others", Hook: validate, N: 1000, Most: 40_000, Object: func(n int) map[string]any {
			return object(validate, texts(n, func(i int) string { return fmt.Sprint("example.com/k", i) }, "true"), nil)
		}},
		annotated("a Service: nothing but commas", service, annotation.Authorizers, 4000, 250_000, repeated(",")),
		annotated("a Service: allow-from", service, annotation.AllowFrom, 1000, 46_000, separated(",")),
		annotated("a Service: internal-callers", service, annotation.InternalCallers, 1000, 30_000, separated("/b,")),
		annotated("a Service: a long host", service, annotation.Expose, 1000, 100_000, repeated("a.")),
		annotated("a Service: many methods", service, annotation.ExposeMethods, 1000, 60_000, repeated("GET,")),
		annotated("a Service: a deep path", service, annotation.ExposePath, 1000, 100_000, repeated("/{**}")),
		annotated("a Namespace: nothing but commas", namespace, annotation.Authorizers, 4000, 250_000, repeated(",")),
		annotated("a Namespace: internal-callers", namespace, annotation.InternalCallers, 1000, 30_000, separated("/b,")),
		annotated("an Istio CR: allow-removal", istios, annotation.AllowRemoval, 1000, 20_000, separated("@2026-12-01T10:00:00Z,")),
	}
}

// ruled is an APIRule whose rules are made one by one.
func ruled(name string, hook webhook.Hook, n, most int, one func(i int) any) Input {
	return Input{Name: name, Hook: hook, N: n, Most: most, Object: func(n int) map[string]any {
		return object(hook, map[string]any{annotation.Inject: "true"}, func(_, spec map[string]any) { spec["rules"] = list(n, one) })
	}}
}

// ruledOnce is an APIRule with one rule that has much of something.
func ruledOnce(name string, n, most int, more func(n int) map[string]any) Input {
	return Input{Name: name, Hook: validate, N: n, Most: most, Object: func(n int) map[string]any {
		return object(validate, map[string]any{annotation.Inject: "true"}, func(_, spec map[string]any) { spec["rules"] = []any{rule("/*", more(n))} })
	}}
}

func rules() []Input {
	path := func(i int) string { return fmt.Sprintf("/p/%d", i) }
	open := func(i int) any { return rule(path(i), map[string]any{"noAuth": true}) }
	return []Input{
		ruled("rules with nothing", mutate, 1000, 190_000, func(int) any { return map[string]any{} }),
		ruled("rules that are no objects", validate, 1000, 190_000, func(int) any { return 0 }),
		ruled("rules to be injected", mutate, 250, 20_000, func(i int) any { return rule(path(i), nil) }),
		ruled("open rules", validate, 250, 20_000, open),
		ruled("rules of one path", validate, 250, 20_000, func(int) any { return rule("/*", map[string]any{"noAuth": true}) }),
		ruled("rules with an authorizer that there is not", validate, 250, 20_000, func(i int) any {
			return rule(path(i), map[string]any{"extAuth": map[string]any{"authorizers": []any{named(i)}}})
		}),
		ruled("rules of many Services", validate, 250, 15_000, func(i int) any {
			return rule(path(i), map[string]any{"noAuth": true, "service": map[string]any{"name": named(i), "namespace": named(i), "port": 80}})
		}),
		ruled("paths with operators", validate, 250, 20_000, func(i int) any {
			strategy := map[string]any{"noAuth": true}
			if i%2 == 1 {
				strategy = map[string]any{"extAuth": map[string]any{"authorizers": []any{"oauth2-proxy"}}}
			}
			return rule(fmt.Sprintf("/{*}/%d/{**}", i), strategy)
		}),
		ruledOnce("a rule with one authorizer again and again", 1000, 190_000, func(n int) map[string]any {
			return map[string]any{"extAuth": map[string]any{"authorizers": list(n, func(int) any { return "a" })}}
		}),
		ruledOnce("a rule with many authorizers", 1000, 190_000, func(n int) map[string]any {
			return map[string]any{"extAuth": map[string]any{"authorizers": list(n, named)}}
		}),
		ruledOnce("a rule with many methods", 1000, 190_000, func(n int) map[string]any { return map[string]any{"methods": list(n, named)} }),
		ruledOnce("a rule with many issuers", 1000, 60_000, func(n int) map[string]any {
			return map[string]any{"jwt": map[string]any{"authentications": list(n, func(i int) any {
				return map[string]any{"issuer": fmt.Sprintf("https://%d.example.com", i), "jwksUri": "https://a.example.com"}
			})}}
		}),
		ruledOnce("a long path", 4000, 2_000_000, func(n int) map[string]any { return map[string]any{"path": strings.Repeat("a", n)} }),
		ruledOnce("a path of many segments", 4000, 1_000_000, func(n int) map[string]any { return map[string]any{"path": strings.Repeat("/a", n), "noAuth": true} }),
		ruledOnce("a path of many operators", 1000, 500_000, func(n int) map[string]any { return map[string]any{"path": strings.Repeat("/{**}", n), "noAuth": true} }),
		ruledOnce("a Service with a long name", 4000, 2_000_000, func(n int) map[string]any {
			return map[string]any{"service": map[string]any{"name": strings.Repeat("a", n), "port": 80}}
		}),
	}
}

// changed is an APIRule of which something is much.
func changed(name string, n, most int, change func(metadata, spec map[string]any, n int)) Input {
	return Input{Name: name, Hook: validate, N: n, Most: most, Object: func(n int) map[string]any {
		return object(validate, nil, func(metadata, spec map[string]any) { change(metadata, spec, n) })
	}}
}

func metadata() []Input {
	return []Input{
		changed("many hosts", 1000, 190_000, func(_, spec map[string]any, n int) { spec["hosts"] = list(n, named) }),
		changed("a long host", 4000, 2_000_000, func(_, spec map[string]any, n int) { spec["hosts"] = []any{strings.Repeat("a.", n)} }),
		changed("a long gateway", 4000, 2_000_000, func(_, spec map[string]any, n int) { spec["gateway"] = strings.Repeat("a/", n) }),
		changed("many origins of CORS", 1000, 60_000, func(_, spec map[string]any, n int) {
			spec["corsPolicy"] = map[string]any{"allowOrigins": list(n, func(i int) any { return map[string]any{"exact": named(i)} })}
		}),
		changed("many labels", 1000, 90_000, func(metadata, _ map[string]any, n int) {
			metadata["labels"] = texts(n, func(i int) string { return fmt.Sprint("l", i) }, "x")
		}),
		changed("many owners", 500, 20_000, func(metadata, _ map[string]any, n int) {
			metadata["ownerReferences"] = list(n, func(i int) any {
				return map[string]any{"apiVersion": "v1", "kind": "Service", "name": named(i), "controller": true}
			})
		}),
		changed("many managed fields", 1000, 60_000, func(metadata, _ map[string]any, n int) {
			metadata["managedFields"] = list(n, func(i int) any { return map[string]any{"manager": named(i)} })
		}),
		{Name: "a Service: many labels", Hook: service, N: 1000, Most: 90_000, Object: func(n int) map[string]any {
			return object(service, nil, func(metadata, _ map[string]any) {
				metadata["labels"] = texts(n, func(i int) string { return fmt.Sprint("l", i) }, "x")
			})
		}},
		{Name: "a Service: a large selector", Hook: service, N: 1000, Most: 90_000, Object: func(n int) map[string]any {
			return object(service, map[string]any{annotation.Inject: "true"}, func(_, spec map[string]any) {
				spec["selector"] = texts(n, func(i int) string { return fmt.Sprint("l", i) }, "x")
			})
		}},
		{Name: "a Namespace: many labels", Hook: namespace, N: 1000, Most: 90_000, Object: func(n int) map[string]any {
			return object(namespace, map[string]any{annotation.Inject: "false"}, func(metadata, _ map[string]any) {
				metadata["labels"] = texts(n, func(i int) string { return fmt.Sprint("l", i) }, "x")
			})
		}},
	}
}

func texting() []Input {
	raw := func(name string, n, most int, change func(review []byte, n int) []byte) Input {
		return Input{Name: name, Hook: validate, N: n, Most: most, Raw: change, Object: func(int) map[string]any { return object(validate, nil, nil) }}
	}
	return []Input{
		changed("deep lists", 1000, 9000, func(_, spec map[string]any, n int) { spec["deep"] = nested(n, "[", "]") }),
		changed("deep objects", 1000, 9000, func(_, spec map[string]any, n int) { spec["deep"] = nested(n, `{"a":`, "}") }),
		changed("deeper than anybody reads", 100_000, 1_000_000, func(_, spec map[string]any, n int) {
			spec["deep"] = nested(1, `{"a":`, "}")
			spec["long"] = strings.Repeat("[", n)
		}),
		changed("many numbers", 20_000, 190_000, func(_, spec map[string]any, n int) { spec["numbers"] = list(n, func(i int) any { return i }) }),
		annotated("letters that look alike", validate, annotation.Authorizers, 1000, 100_000, repeated("о")), // Cyrillic
		annotated("characters of four bytes", validate, annotation.Authorizers, 1000, 60_000, repeated("😀")),
		annotated("characters that combine", validate, annotation.Inject, 1000, 100_000, repeated("é")),
		annotated("control characters", validate, annotation.Authorizers, 1000, 40_000, repeated("\x1b[2J")),
		annotated("zeros", validate, annotation.Authorizers, 1000, 40_000, repeated("\x00")),
		raw("one key many times", 1000, 60_000, func(review []byte, n int) []byte {
			return bytes.Replace(review, []byte(`"request":{`), []byte(`"request":{`+strings.Repeat(`"uid":"a",`, n)), 1)
		}),
		raw("blanks", 100_000, 6_000_000, func(review []byte, n int) []byte { return append(review, bytes.Repeat([]byte(" "), n)...) }),
		raw("no UTF-8", 4000, 2_000_000, func(review []byte, n int) []byte {
			return bytes.Replace(review, []byte(`"name":"web"`), []byte(`"name":"`+strings.Repeat("\xff", n)+`"`), 1)
		}),
		raw("no review", 4000, 190_000, func(_ []byte, n int) []byte { return bytes.Repeat([]byte("[],"), n) }),
	}
}

// updates are APIRules that had much before.
func updates() []Input {
	rules := func(kind string, strategy map[string]any) func(n int) map[string]any {
		return func(n int) map[string]any {
			return object(validate, map[string]any{annotation.Inject: "true"}, func(_, spec map[string]any) {
				spec["rules"] = list(n, func(i int) any { return rule(fmt.Sprintf("/%s/%d", kind, i), strategy) })
			})
		}
	}
	open, protected := map[string]any{"noAuth": true}, map[string]any{"extAuth": map[string]any{"authorizers": []any{"gone"}}}
	return []Input{
		{Name: "an update: open rules that stay", Hook: validate, N: 250, Most: 10_000, Object: rules("a", open), Old: rules("a", open)},
		{Name: "an update: open rules that move", Hook: validate, N: 250, Most: 10_000, Object: rules("a", open), Old: rules("b", open)},
		{Name: "an update: rules that are opened", Hook: validate, N: 250, Most: 10_000, Object: rules("a", open), Old: rules("a", protected)},
	}
}

func authorizers() []Input {
	registered := func(n int, name func(i int) any, more map[string]any) func(_, spec map[string]any) {
		return func(_, spec map[string]any) {
			spec["config"] = map[string]any{"authorizers": list(n, func(i int) any {
				entry := map[string]any{"name": name(i), "service": "a.b.svc.cluster.local", "port": 80, "pathPrefix": "/v?o="}
				maps.Copy(entry, more)
				return entry
			})}
		}
	}
	same := func(int) any { return "corp" }
	cr := func(name func(i int) any, more map[string]any) func(n int) map[string]any {
		return func(n int) map[string]any { return object(istios, nil, registered(n, name, more)) }
	}
	return []Input{
		{Name: "an Istio CR: many authorizers", Hook: istios, N: 500, Most: 15_000, Object: cr(named, nil)},
		{Name: "an Istio CR: one name many times", Hook: istios, N: 500, Most: 15_000, Object: cr(same, nil)},
		{Name: "an Istio CR: entries that are wrong", Hook: istios, N: 500, Most: 15_000, Object: cr(named, map[string]any{"port": -1, "timeout": "soon", "pathPrefix": "x"})},
		{Name: "an Istio CR: all headers, many times", Hook: istios, N: 1000, Most: 100_000, Object: func(n int) map[string]any {
			return object(istios, nil, registered(1, named, map[string]any{"headers": map[string]any{"inCheck": map[string]any{"include": list(n, func(int) any { return "*" })}}}))
		}},
		{Name: "an Istio CR: many authorizers are changed", Hook: istios, N: 500, Most: 8000, Object: cr(named, map[string]any{"port": 81}), Old: cr(named, nil)},
		{Name: "an Istio CR: many authorizers are removed", Hook: istios, N: 500, Most: 15_000, Object: cr(named, nil), Old: func(n int) map[string]any { return object(istios, nil, registered(2*n, named, nil)) }},
	}
}
