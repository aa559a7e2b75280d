// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// selects is true if params.spec.match.namespaceSelector selects labels.
func selects(labels string) string {
	return fill(`params.spec.?match.?namespaceSelector.?matchLabels.orValue({}).all(k, $l[?k].orValue('') == params.spec.match.namespaceSelector.matchLabels[k] && k in $l) &&
		params.spec.?match.?namespaceSelector.?matchExpressions.orValue([]).all(e,
			e.operator == 'In' ? e.key in $l && $l[e.key] in e.values :
			e.operator == 'NotIn' ? !(e.key in $l && $l[e.key] in e.values) :
			e.operator == 'Exists' ? e.key in $l : !(e.key in $l))`, "l", labels)
}

// concerns is true if the policy is about the host and the gateway of an APIRule.
func concerns(object string) string {
	return fill(`(size(variables.gateways) == 0 || $gateway in variables.gateways ||
			$external != '' && ($external in variables.gateways || ($external + '-gw') in variables.gateways)) &&
		(size(variables.hosts) == 0 || $o.?spec.?hosts.orValue([]).map(h, $full).exists(h,
			variables.hosts.map(h, $full).exists(p,
				h.startsWith('*') && p.startsWith('*') ? h.substring(1).endsWith(p.substring(1)) || p.substring(1).endsWith(h.substring(1)) :
				p.startsWith('*') ? h.endsWith(p.substring(1)) : h.startsWith('*') ? p.endsWith(h.substring(1)) : h == p)))`,
		"o", object, "gateway", object+".?spec.?gateway.or("+object+".?spec.?externalGateway).orValue('')",
		"external", object+".?spec.?externalGateway.orValue('')",
		"full", fill("(h.contains('.') || !($g in variables.domains) ? h : h + '.' + variables.domains[$g])", "g", object+".?spec.?gateway.or("+object+".?spec.?externalGateway).orValue('')"))
}

// believes is true for a rule r whose tokens are all of an issuer that counts.
const believes = `has(params.spec.require.jwt) && size(r.tokens) > 0 && r.tokens.all(t, t.issuer in params.spec.require.jwt.issuers &&
	(size(params.spec.require.jwt.?jwksUris.orValue([])) > 0 ? t.jwksUri in params.spec.require.jwt.jwksUris :
		isURL(t.issuer) && isURL(t.jwksUri) && url(t.issuer).getHost() != '' && url(t.issuer).getScheme() == url(t.jwksUri).getScheme() &&
		url(t.issuer).getHost() == url(t.jwksUri).getHost() && !t.jwksUri.matches('^[a-zA-Z]+://[^/?#]*@')))`

// holds is true for a rule r that has what the policy requires. Whether an authorizer is
// registered is for the other policy to say.
func holds() string {
	return fill(`(r.strategy == 'jwt' ? params.spec.require.?allowJWT.orValue(false) && !has(params.spec.require.jwt) || $believes :
	size(params.spec.require.?authorizers.orValue([])) == 0 ? size(r.authorizers) > 0 : r.authorizers.exists(a, a in params.spec.require.authorizers))`, "believes", believes)
}

// fronts is true for a rule r that has to be open.
const fronts = `(r.service.startsWith(request.namespace + '/') && (r.service + ':' + string(r.port)) in variables.frontends)`

// excuse is true for a rule r that an exemption excuses today.
func excuse() string {
	return fill("variables.exemptions.exists(e, size(e.?paths.orValue([])) == 0 || e.paths.exists(p, $covers))", "covers", covers("p", "r.path"))
}

// today is the day of the request, by the API server's own clock: what it has just
// written into the metadata. CEL has no other. Where it wrote nothing no exemption holds.
const today = `(oldObject == null ? [string(object.metadata.?creationTimestamp.orValue('9999'))] :
	size(object.metadata.?managedFields.orValue([])) == 0 ? ['9999-12-31'] :
	object.metadata.managedFields.map(f, string(f.?time.orValue('')))).max()`

// lacks is true for a rule r that violates the policy.
func lacks() string {
	return fill("!$fronts && !$holds && !$excuse", "fronts", fronts, "holds", holds(), "excuse", excuse())
}

// forbidden is true for a rule r whose author may not opt out.
func forbidden() string {
	return fill("r.service.startsWith(request.namespace + '/') && !$fronts && !$excuse", "fronts", fronts, "excuse", excuse())
}

// policyKind is the parameter of the policies below.
func policyKind() *admissionregistrationv1.ParamKind {
	return &admissionregistrationv1.ParamKind{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ExtAuthPolicy"}
}

// policies is the policy that holds ExtAuthPolicies, one at a time.
func policies() (admissionregistrationv1.ValidatingAdmissionPolicySpec, error) {
	spec := forAPIRules()
	spec.ParamKind = policyKind()
	// What costs most comes last, and mostly never.
	mine := fill("$mode || $forbids", "mode", enforced(), "forbids", forbids())
	spec.Variables = append(spec.Variables,
		variable("gateways", "params.spec.?match.?gateways.orValue([])"),
		variable("hosts", "params.spec.?match.?hosts.orValue([])"),
		variable("domains", "params.?status.?guarantee.?domains.orValue({})"),
		variable("frontends", "params.?status.?guarantee.?frontends.orValue([])"),
		variable("labels", "namespaceObject.metadata.?labels.orValue({})"),
		variable("concerned", fill("($mine) && ($selects) && ($concerns)", "mine", mine, "selects", selects("variables.labels"), "concerns", concerns("object"))),
		variable("concernedBefore", before("("+concerns("oldObject")+")", "false")),
		variable("today", today),
		variable("exemptions", fill(`params.spec.?exemptions.orValue([]).filter(e, e.namespace == request.namespace && e.name == object.metadata.name &&
			e.expires >= variables.today.substring(0, 10))`)),
		variable("open", fill("variables.concerned && ($enforced) && variables.rules.exists(r, $lacks) ? $places : []",
			"enforced", enforced(), "lacks", lacks(), "places", places("variables.rules", lacks()))),
		variable("openBefore", fill("variables.concernedBefore ? $places : []", "places", places("variables.before", lacks()))),
		variable("introduced", fill("variables.open.filter(i, !($inherited))", "inherited", inherited("variables.openBefore"))),
		variable("annotations", annotations("object")),
		variable("annotationsBefore", before(annotations("oldObject"), "{}")),
	)
	violation, err := example{rule: ruleWith("noAuth", true), registry: registered(someName), policy: &v1alpha1.ExtAuthPolicySpec{
		Mode: v1alpha1.Enforce, Require: &v1alpha1.Require{Authorizers: []v1alpha1.AuthorizerName{someName}},
	}}.message(policy.PolicyViolation, "spec.rules[0]", field("variables.introduced[0]", "'"), somePath, shown("variables.rules[variables.introduced[0]].path"),
		somePolicy, "params.metadata.name", "the authorizer "+someName, wanted, `says "noAuth: true"`, has)
	if err != nil {
		return spec, err
	}
	optOut, err := example{
		rule: ruleWith("noAuth", true), registry: registered(), annotations: map[string]string{annotation.Inject: "false"},
		policy: &v1alpha1.ExtAuthPolicySpec{Mode: v1alpha1.Audit, OptOut: v1alpha1.Forbidden},
	}.message(policy.OptOutForbidden, somePolicy, "params.metadata.name")
	if err != nil {
		return spec, err
	}
	many := tooMany(fill("variables.concerned && ($enforced) && ($lacks)", "enforced", enforced(), "lacks", lacks()))
	spec.Validations = []admissionregistrationv1.Validation{
		validation("size(variables.introduced) == 0", saying{policy.PolicyViolation, fill(violation)}),
		validation(fill(`!(variables.concerned && ($forbids) && $out == 'false') || variables.concernedBefore && $was == 'false' ||
			!variables.rules.exists(r, $forbidden)`, "forbids", forbids(), "forbidden", forbidden(),
			"out", valueOf("variables.annotations", annotation.Inject), "was", valueOf("variables.annotationsBefore", annotation.Inject)), saying{policy.OptOutForbidden, optOut}),
		many,
	}
	return spec, nil
}

// enforced is true for a policy that requires something and refuses what lacks it.
func enforced() string {
	return fill("params.spec.mode == $enforce && has(params.spec.require)", "enforce", text(string(v1alpha1.Enforce)))
}

// forbids is true for a policy under which nobody may opt out.
func forbids() string {
	return fill("params.spec.?optOut.orValue('') == $forbidden", "forbidden", text(string(v1alpha1.Forbidden)))
}

// wanted says what the policy requires, and has what the first rule without it has; both
// as package policy does.
const (
	wanted = `(size(params.spec.require.?authorizers.orValue([])) == 0 ? 'a registered authorizer' :
		size(params.spec.require.authorizers) == 1 ? 'the authorizer ' + params.spec.require.authorizers[0] :
		'one of the authorizers ' + params.spec.require.authorizers.join(', ')) +
		(has(params.spec.require.jwt) ? ' or a jwt of ' + params.spec.require.jwt.issuers.join(', ') : params.spec.require.?allowJWT.orValue(false) ? ' or a jwt' : '')`
	has = `variables.rules[variables.introduced[0]].strategy == 'noAuth' ? 'says "noAuth: true"' :
		variables.rules[variables.introduced[0]].strategy == 'jwt' ? 'has only a jwt' : 'has ' + string(size(variables.rules[variables.introduced[0]].authorizers)) + ' other authorizers'`
)

// optOuts is the policy that forbids Services and Namespaces to opt out where an
// ExtAuthPolicy is about all of the namespace.
func optOuts() (admissionregistrationv1.ValidatingAdmissionPolicySpec, error) {
	const labels = "(request.resource.resource == 'namespaces' ? object.metadata.?labels.orValue({}) : namespaceObject.metadata.?labels.orValue({}))"
	spec := admissionregistrationv1.ValidatingAdmissionPolicySpec{
		ParamKind: policyKind(),
		MatchConditions: []admissionregistrationv1.MatchCondition{{Name: "opts-out", Expression: fill(
			"$now == 'false' && (oldObject == null || $was != 'false')",
			"now", valueOf(annotations("object"), annotation.Inject), "was", valueOf(annotations("oldObject"), annotation.Inject))}},
	}
	complete(&spec, matching("", []string{"v1"}, admissionregistrationv1.AllScopes, "services", "namespaces"))
	optOut, err := example{
		rule: ruleWith("noAuth", true), registry: registered(), namespace: map[string]string{annotation.Inject: "false"},
		policy: &v1alpha1.ExtAuthPolicySpec{Mode: v1alpha1.Audit, OptOut: v1alpha1.Forbidden},
	}.message(policy.OptOutForbidden, somePolicy, "params.metadata.name",
		"metadata.namespace: ", text("metadata.annotations["+annotation.Inject+"]: "), `"somespace"`, `'"false"'`, "Namespace says", "request.kind.kind + ' says'")
	if err != nil {
		return spec, err
	}
	spec.Validations = []admissionregistrationv1.Validation{validation(
		fill(`!($forbids) || size(params.spec.?match.?hosts.orValue([])) > 0 || size(params.spec.?match.?gateways.orValue([])) > 0 || !($selects)`,
			"forbids", forbids(), "selects", selects(labels)), saying{policy.OptOutForbidden, optOut})}
	return spec, nil
}
