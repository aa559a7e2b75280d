// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/guarantee"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// label is the name of an authorizer, as package annotation takes it.
const label = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"

// entries splits a list in an annotation.
func entries(value string) string { return value + ".split(',').map(e, e.trim())" }

// wellFormed is true for a value v of an annotation that package annotation can read.
func wellFormed(key, value string) string {
	return fill(`($k == $inject ? $v in ['true', 'false'] :
		$k == $authorizers ? size($v) <= $length && size($e) <= $count && $e.all(n, n.matches('$label') && $e.filter(o, o == n).size() == 1) :
		$k == $replace ? $e.all(n, n in ['noAuth', 'jwt'] && $e.filter(o, o == n).size() == 1) : true)`,
		"k", key, "v", value, "e", entries(value), "label", label,
		"inject", text(annotation.Inject), "authorizers", text(annotation.Authorizers), "replace", text(annotation.Replace),
		"length", number(annotation.MaxValue), "count", number(annotation.MaxNames))
}

// unreadable are the keys of this project in annotations that cannot be read.
func unreadable(annotations string, kind annotation.Kind) string {
	return fill(`$a.filter(k, k.lowerAscii().startsWith($prefix) && (!(k in $keys) || !$well))`,
		"a", annotations, "prefix", text(annotation.Prefix), "keys", keys(kind), "well", wellFormed("k", annotations+"[k]"))
}

// apirules is the policy about APIRules that needs no ExtAuthPolicy.
func apirules() (admissionregistrationv1.ValidatingAdmissionPolicySpec, error) {
	spec := forAPIRules()
	spec.ParamKind = &admissionregistrationv1.ParamKind{APIVersion: "v1", Kind: "ConfigMap"}
	spec.Variables = append(spec.Variables,
		variable("data", "params.?data.orValue({})"),
		variable("registered", fill("variables.data[?$k].orValue('') == '' ? [] : variables.data[$k].split(',')", "k", text(guarantee.Authorizers))),
		variable("names", namesOf("variables.rules")),
		variable("namesBefore", namesOf("variables.before")),
		variable("new", fill(`variables.names == variables.namesBefore ? [] : variables.names.map(l, l.filter(n, $more))`, "more", more)),
		variable("unregistered", "variables.new.map(l, l.filter(n, !(n in variables.registered)))"),
		variable("invalid", fill("variables.new.map(l, l.filter(n, ($k + n) in variables.data))", "k", text(guarantee.Invalid))),
		variable("annotations", annotations("object")),
		variable("annotationsBefore", before(annotations("oldObject"), "{}")),
		variable("unreadable", unreadable("variables.annotations", annotation.APIRule)+
			".filter(k, !(k in variables.annotationsBefore) || variables.annotationsBefore[k] != variables.annotations[k])"),
		variable("space", annotations("namespaceObject")),
		variable("unreadableThere", "oldObject != null ? [] : "+unreadable("variables.space", annotation.Namespace)),
		variable("asking", "variables.rules.exists(r, r.strategy == 'noAuth') ? "+places("variables.rules", asks("variables.annotations"))+" : []"),
		variable("askingBefore", places("variables.before", asks("variables.annotationsBefore"))),
		variable("introduced", fill("variables.asking.filter(i, !($inherited))", "inherited",
			inherited("variables.askingBefore.filter(b, variables.before[b].path == variables.rules[i].path)"))),
	)
	messages, err := apiruleMessages()
	if err != nil {
		return spec, err
	}
	spec.Validations = []admissionregistrationv1.Validation{
		validation("size(variables.unreadable) == 0", messages[0]),
		validation("size(variables.unreadableThere) == 0", messages[1]),
		validation(fill("$k in variables.data || variables.data[?$u].orValue('') == 'Warn' || variables.new.all(l, size(l) == 0)",
			"k", text(guarantee.Registry), "u", text(guarantee.UnknownRegistry)), messages[2]),
		validation(fill("!($k in variables.data) || variables.unregistered.all(l, size(l) == 0)", "k", text(guarantee.Registry)), messages[3]),
		validation("variables.invalid.all(l, size(l) == 0)", messages[4]),
		validation("size(variables.introduced) == 0", messages[5]),
		tooMany(asks("variables.annotations")),
	}
	return spec, nil
}

// namesOf are the authorizers of each rule; none of a rule in front of an authorizer, on
// which nothing is denied.
func namesOf(rules string) string {
	return fill("$rules.map(r, ($frontend + r.service.replace('/', '.')) in variables.data ? [] : r.authorizers)", "rules", rules, "frontend", text(guarantee.Frontend))
}

// more is true for an authorizer that more rules name than before: repeating a fault
// is introducing it.
const more = `!(variables.namesBefore.exists(b, n in b)) ||
	variables.names.map(o, o.filter(x, x == n).size()).sum() > variables.namesBefore.map(o, o.filter(x, x == n).size()).sum()`

// asks is true for an open rule r that annotations want protected: those of the
// APIRule, of the Service as far as they are published, and of the namespace, each key
// on its own, nearest first. For a Service in another namespace only what the APIRule
// says alone is decided.
func asks(annotations string) string {
	service := fill("variables.data[?($k + r.service.replace('/', '.'))].orValue('')", "k", text(guarantee.Service))
	return fill(`r.strategy == 'noAuth' && !(($frontend + r.service.replace('/', '.')) in variables.data) &&
		(r.service.startsWith(request.namespace + '/') ?
			($own != '' ? $own : $service.contains($no) ? 'false' : $service.contains($yes) ? 'true' : $space) == 'true' &&
			($mine != '' ? $mine : $service.contains($replace) ? $service.split($replace)[1] : $theirs).contains('noAuth') :
			$own == 'true' && $mine.contains('noAuth'))`,
		"frontend", text(guarantee.Frontend), "own", injects(annotations), "space", injects("variables.space"),
		"mine", valueOf(annotations, annotation.Replace), "theirs", valueOf("variables.space", annotation.Replace),
		"service", service, "no", text(guarantee.InjectFalse), "yes", text(guarantee.InjectTrue), "replace", text(guarantee.Replace))
}

// apiruleMessages are the sentences of the validations, in their order.
func apiruleMessages() ([]saying, error) {
	const key = "variables.unreadable[0]"
	unknownKey := annotation.Prefix + "some"
	first := func(of string) string { return of + ".filter(l, size(l) > 0)[0][0]" }
	named := func(of string) []string {
		list := of + ".filter(l, size(l) > 0)[0]"
		return []string{
			"spec.rules[0].extAuth.authorizers[0]", fill("'spec.rules[' + string($o.indexOf($l)) + '].extAuth.authorizers[' + string(variables.names[$o.indexOf($l)].indexOf($l[0])) + ']'", "o", of, "l", list),
			someName, shown(list + "[0]"),
		}
	}
	known := registered()
	origin := []string{known.Origin, fill("variables.data[?$k].orValue('')", "k", text(guarantee.Registry))}
	asked := example{
		annotations: map[string]string{annotation.Inject: "true", annotation.Replace: "noAuth"}, rule: ruleWith("noAuth", true), registry: known,
	}
	var messages []saying
	for _, one := range []struct {
		example example
		code    policy.Code
		words   []string
	}{
		{example{annotations: map[string]string{unknownKey: "true"}, rule: ruleWith("noAuth", true), registry: known}, policy.InvalidAnnotation, []string{unknownKey, shown(key)}},
		{
			example{namespace: map[string]string{unknownKey: "true"}, rule: ruleWith("noAuth", true), registry: known},
			policy.InvalidAnnotation,
			[]string{unknownKey, "variables.unreadableThere[0]", "somespace", "request.namespace"},
		},
		{
			example{rule: ruleWith("extAuth", map[string]any{"authorizers": []any{someName}}), registry: policy.UnknownRegistryBecause(someValue)},
			policy.RegistryUnknown,
			append(named("variables.new"), someValue, fill("variables.data[?$k].orValue('extauth-guard has not published it yet')", "k", text(guarantee.Unknown))),
		},
		{
			example{rule: ruleWith("extAuth", map[string]any{"authorizers": []any{someName}}), registry: known},
			policy.AuthorizerNotRegistered,
			append(append(named("variables.unregistered"), origin...), "registered: registered", "'registered: ' + ("+listed("variables.registered")+")"),
		},
		{
			example{rule: ruleWith("extAuth", map[string]any{"authorizers": []any{"registered"}}), registry: known},
			policy.AuthorizerInvalid,
			append(append(named("variables.invalid")[:2:2], origin...), `"registered"`, `'"' + `+first("variables.invalid")+` + '"'`,
				known.Refusal("registered"), fill("variables.data[$k + $n]", "k", text(guarantee.Invalid), "n", first("variables.invalid"))),
		},
		{asked, policy.InjectionMissing, []string{
			"spec.rules[0]", field("variables.introduced[0]", "'"), somePath, shown("variables.rules[variables.introduced[0]].path"),
			"APIRule asks", fill("($own != '' ? 'APIRule' : $space != '' ? 'Namespace' : 'Service ' + variables.rules[variables.introduced[0]].service) + ' asks'",
				"own", injects("variables.annotations"), "space", injects("variables.space")),
			policy.DefaultAuthorizer, fill("$own != '' ? $own : $space != '' ? $space : variables.data[?$d].orValue('')",
				"own", valueOf("variables.annotations", annotation.Authorizers), "space", valueOf("variables.space", annotation.Authorizers), "d", text(guarantee.DefaultAuthorizers)),
		}},
	} {
		message, err := one.example.message(one.code, one.words...)
		if err != nil {
			return nil, err
		}
		messages = append(messages, saying{one.code, message})
	}
	// Of a key that is known it is the value.
	values, err := valueMessages(key)
	if err != nil {
		return nil, err
	}
	messages[0].expression = fill("$key in $keys ? $values : $unknown", "key", key, "keys", keys(annotation.APIRule), "values", values, "unknown", messages[0].expression)
	return messages, nil
}

// valueMessages is the sentence about a value that cannot be read, by its key.
func valueMessages(key string) (string, error) {
	var all []string
	for _, one := range []string{annotation.Inject, annotation.Authorizers, annotation.Replace} {
		message, err := example{annotations: map[string]string{one: someValue}, rule: ruleWith("noAuth", true), registry: registered()}.
			message(policy.InvalidAnnotation, someValue, shown("variables.annotations["+key+"]"))
		if err != nil {
			return "", err
		}
		all = append(all, key+" == "+text(one)+" ? "+message)
	}
	return "(" + all[0] + " : " + all[1] + " : " + all[2] + " : '')", nil
}
