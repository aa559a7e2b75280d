// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

// The CEL below is served by Kubernetes 1.30 and later: no two-variable
// comprehensions, no library that came later.

// maxRules is how many rules of an APIRule are told apart by their place. CEL has no
// loop over numbers, so they are a list.
const maxRules = 128

// numbers is the list of the places of rules.
func numbers() string {
	places := make([]string, 0, maxRules)
	for i := range maxRules {
		places = append(places, strconv.Itoa(i))
	}
	return "[" + strings.Join(places, ",") + "]"
}

// text is a CEL literal.
func text(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

// fill replaces placeholders in expressions: fill("$a in $b", "a", …, "b", …).
func fill(expression string, pairs ...string) string {
	values := map[string]string{}
	for pair := range slices.Chunk(pairs, 2) {
		values[pair[0]] = pair[1]
	}
	filled := regexp.MustCompile(`\$[a-z]+`).ReplaceAllStringFunc(expression, func(name string) string {
		value, found := values[name[1:]]
		if !found {
			panic("nothing fills " + name + " in " + expression)
		}
		return value
	})
	return strings.Join(strings.Fields(filled), " ")
}

// rules are the rules of an APIRule as package apirule reads them: path, methods,
// strategy, authorizers, tokens, and the effective Service with its port.
func rules(object string) string {
	return fill(`$o.?spec.?rules.orValue([]).map(r, {
		'path': dyn(r.?path.orValue('')),
		'methods': dyn(r.?methods.orValue([])),
		'strategy': dyn(r.?noAuth.orValue(false) == true ? 'noAuth' : has(r.jwt) ? 'jwt' : 'extAuth'),
		'authorizers': dyn(r.?extAuth.?authorizers.orValue([])),
		'tokens': dyn(r.?jwt.?authentications.orValue([])),
		'service': dyn(r.?service.?namespace.or($o.?spec.?service.?namespace).orValue(request.namespace) + '/' +
			(has(r.service) ? r.service : $o.?spec.?service.orValue({})).?name.orValue('')),
		'port': dyn((has(r.service) ? r.service : $o.?spec.?service.orValue({})).?port.orValue(0))
	})`, "o", object)
}

// before is an expression about the APIRule before a change, or what stands for it
// where there is none.
func before(expression, none string) string {
	return "oldObject == null ? " + none + " : " + expression
}

// annotations are those of an object; none is an empty map.
func annotations(object string) string { return object + ".metadata.?annotations.orValue({})" }

// injects is what annotations say about injection: 'true', 'false' or an empty text.
func injects(annotations string) string {
	return fill("($inject in $a ? $a[$inject] : $authorizers in $a ? 'true' : '')", "a", annotations,
		"inject", text(annotation.Inject), "authorizers", text(annotation.Authorizers))
}

// valueOf is an annotation, or an empty text.
func valueOf(annotations, key string) string {
	return fill("($k in $a ? $a[$k] : '')", "a", annotations, "k", text(key))
}

// pattern is the regular expression of the paths that a path covers, as a text: the
// same as covers of package policy.
func pattern(path, literal, one, end string) string {
	return fill(`('^' + $path.split('/').map(s, s == '{**}' ? '.*' : s == '{*}' ? '$one' : $literal).join('/') + $end)`,
		"path", path, "literal", literal, "one", one, "end", end)
}

// covers is true if every request path that inner matches is matched by outer, too.
func covers(outer, inner string) string {
	return fill(`($o in ['/*', '/{**}'] || $o == $i && !$o.contains('{**}/') || $o.contains('{') && !$o.contains('{**}/') && !$o.contains('\\') && ($i == '/*' ? '/{**}' : $i).matches($p))`,
		"o", outer, "i", inner, "p", pattern(outer, `'\\Q' + s + '\\E'`, "([^/{]+|[{][*][}])", "'$'"))
}

// meets is false only where it is sure that no request matches both paths.
func meets(a, b string) string {
	one := func(from, to string) string {
		whole := fill(`($p == '/*' ? '/{**}' : $p)`, "p", from)
		return fill(`($t == '/*' ? '/{**}/' : $t + '/').matches($p)`, "t", to,
			"p", pattern(whole, `'(\\Q' + s + '\\E|[{][*][}])'`, "[^/]*", "("+whole+".endsWith('{**}') ? '$' : '/$')"))
	}
	return "(" + one(a, b) + " || " + one(b, a) + ")"
}

// reached is true if nobody reaches the APIRule who did not reach it before: through
// its hosts, gateways and the origins of browsers.
const reached = `oldObject != null &&
	object.?spec.?hosts.orValue([]).all(h, h in oldObject.?spec.?hosts.orValue([])) &&
	object.?spec.?gateway.or(object.?spec.?externalGateway).orValue('') == oldObject.?spec.?gateway.or(oldObject.?spec.?externalGateway).orValue('') &&
	(!has(object.spec.externalGateway) || object.spec.externalGateway == oldObject.?spec.?externalGateway.orValue('')) &&
	object.?spec.?corsPolicy.?allowOrigins.orValue([]).all(o, o in oldObject.?spec.?corsPolicy.?allowOrigins.orValue([])) &&
	(oldObject.?spec.?corsPolicy.?allowCredentials.orValue(false) || !object.?spec.?corsPolicy.?allowCredentials.orValue(false))`

// inherited is true for the place i of a rule that opens no more than a rule before
// did, at one of the places in the variable named by before: the ratchet of package
// policy. Protected rules in front that kept something from it still do.
func inherited(places string) string {
	is, was := "variables.rules[i]", "variables.before[b]"
	leads := fill("$w.strategy == $i.strategy && $w.service == $i.service && $w.port == $i.port && $i.tokens.all(t, t in $w.tokens)", "w", was, "i", is)
	within := fill("$leads && $i.methods.all(m, m in $w.methods)", "leads", leads, "w", was, "i", is)
	same := `variables.protected.exists(q, q < i && variables.rules[q].path == variables.before[p].path && variables.before[p].methods.all(m, m in variables.rules[q].methods))`
	keeps := fill(`variables.before[p].methods.all(m, !(m in $i.methods) || variables.protected.exists(q, q < i && m in variables.rules[q].methods &&
		(variables.rules[q].path == variables.before[p].path || $covers)))`,
		"i", is, "covers", covers("variables.rules[q].path", "variables.before[p].path"))
	// Regular expressions cost most, so what is equal is looked for first.
	kept := fill(`variables.protectedBefore.all(p, p >= b || !variables.before[p].methods.exists(m, m in $i.methods) || $same || !$meets || $keeps)`,
		"i", is, "same", same, "keeps", keeps, "meets", meets("variables.before[p].path", is+".path"))
	return fill(`variables.reached && (variables.alike && i in $places && [i].all(b, $leads) ||
		$places.exists(b, $within && $w.path == $i.path && $kept) || $places.exists(b, $within && $covers && $kept))`,
		"places", places, "within", within, "leads", leads, "w", was, "i", is, "kept", kept, "covers", covers(was+".path", is+".path"))
}

// alike is true if each rule has the path and the methods of the rule that was at its
// place, and is protected as that was: then nothing moved, which is quickly seen.
const alike = `size(variables.rules) == size(variables.before) && variables.protected == variables.protectedBefore &&
	variables.rules.map(r, [r.path, r.methods]) == variables.before.map(r, [r.path, r.methods])`

// places is the list of the places of rules for which an expression about r is true.
func places(rules, expression string) string {
	return fill("variables.numbers.filter(i, i < size($rules) && [$rules[i]].all(r, $e))", "rules", rules, "e", expression)
}

// isProtected is true for a rule r behind an authorizer or a jwt.
const isProtected = "(r.strategy == 'jwt' || size(r.authorizers) > 0)"

// field is the path of a field of the rule at a place, as a text.
func field(place, rest string) string {
	return fmt.Sprintf("'spec.rules[' + string(%s) + ']%s", place, rest)
}
