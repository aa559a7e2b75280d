// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package apirule reads Kyma APIRules of the versions v2 and v2alpha1, whose
// specs have the same shape, and renders changes to them as JSON Patches.
//
// Nothing here marshals an APIRule: a typed round trip through Kyma's own types
// would add "noAuth: null" to rules that nobody touched, which the API server
// refuses. Reading is total: what is malformed reads as absent, because the
// CRD's schema reports it better. The one exception is an access strategy, see
// [Malformed].
package apirule

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

// Group, Resource and Kind name the APIRule.
const (
	Group    = "gateway.kyma-project.io"
	Resource = "apirules"
	Kind     = "APIRule"
)

// annotationOriginalVersion is set by Kyma's conversion to the version that an
// object was written in (Kyma api-gateway, v2alpha1/apirule_conversion.go).
const annotationOriginalVersion = Group + "/original-version"

// View is what this project needs to know of one APIRule: plain values that do
// not refer to the object they were read from. The zero value is an APIRule
// without name and rules.
type View struct {
	Namespace string
	Name      string
	UID       types.UID
	// Annotations holds the annotations under our prefix only; nil if none.
	Annotations map[string]string
	// HasMetadata is true if the object has metadata; every object does that an
	// API server has seen, but not every manifest.
	HasMetadata bool
	// HasAnnotations is true if the object has annotations of anybody.
	HasAnnotations bool
	// OriginalVersion is the version the object was first written in, as Kyma
	// recorded it; "" for an object that was never stored.
	OriginalVersion string
	// Deleting is true once a deletion timestamp is set.
	Deleting bool
	// Controller is the owner that is marked as controller; nil if none.
	Controller *Owner
	// Hosts has one entry in a valid APIRule.
	Hosts []string
	// Gateway is spec.gateway or else spec.externalGateway, as namespace/name.
	Gateway string
	// ExternalGateway is spec.externalGateway, as namespace/name; "" if absent.
	ExternalGateway string
	// CORS is what spec.corsPolicy lets browsers do.
	CORS CORS
	// Rules are at most [MaxRules].
	Rules []Rule
	// Excess says of which lists not everything was read; nil for nearly every
	// APIRule.
	Excess []Excess
}

// CORS is the part of spec.corsPolicy that decides who gets in. The zero value lets
// no other origin in.
type CORS struct {
	// Origins are spec.corsPolicy.allowOrigins, each as "kind:value". Of more than
	// [MaxOrigins], it is one entry that stands for exactly these.
	Origins []string
	// Credentials is true if a browser may send its cookies.
	Credentials bool
}

// Owner names the controller of an object.
type Owner struct {
	APIVersion, Kind, Name string
}

// Strategy is the access strategy of a rule.
type Strategy string

// The strategies. Exactly one of NoAuth, JWT and ExtAuth makes a valid rule.
const (
	// Open: none is set, also "noAuth: false". The CRD refuses it as it is.
	Open Strategy = ""
	// NoAuth: "noAuth: true".
	NoAuth Strategy = "noAuth"
	// JWT: Kyma's own JWT check.
	JWT Strategy = "jwt"
	// ExtAuth: external authorizers, perhaps none listed yet.
	ExtAuth Strategy = "extAuth"
	// Malformed: more than one is set, or one has the wrong type. Such a rule
	// is left alone, so that the CRD refuses what its author wrote and not
	// something that we made of it.
	Malformed Strategy = "malformed"
)

// Rule is one entry of spec.rules.
type Rule struct {
	// Index is the position in spec.rules.
	Index int
	// Path is the rule's path under the host, with Kyma's operators.
	Path string
	// Methods are the HTTP methods, each once, in the author's order. What is not a
	// method is left out, because the CRD refuses it.
	Methods  []string
	Strategy Strategy
	// Authorizers of the strategy ExtAuth, in the author's order; at most
	// [MaxAuthorizers].
	Authorizers []string
	// Tokens are the sources of tokens that the strategy JWT takes, in the author's
	// order; at most [MaxAuthorizers].
	Tokens []TokenSource
	// Service is the effective Service: the rule's own or that of the spec.
	// Its name is "" if there is neither.
	Service types.NamespacedName
	// ServicePort is the port of the effective Service, 0 if absent.
	ServicePort int64
	// OwnService is true if the rule names a Service itself.
	OwnService bool
}

// TokenSource is an entry of jwt.authentications.
type TokenSource struct {
	// Issuer is what a token has to name as "iss".
	Issuer string
	// JWKSURI is where the keys are that the token has to be signed with.
	JWKSURI string
}

// Field returns the field path of the rule.
func (r Rule) Field() *field.Path {
	return field.NewPath("spec", "rules").Index(r.Index)
}

// ServiceField returns the field path of the effective Service.
func (r Rule) ServiceField() *field.Path {
	if r.OwnService {
		return r.Field().Child("service")
	}
	return field.NewPath("spec", "service")
}

// AuthorizerField returns the field path of the i-th authorizer.
func (r Rule) AuthorizerField(i int) *field.Path {
	return r.Field().Child("extAuth", "authorizers").Index(i)
}

// Protected is true if a request must pass an authorizer or a JWT check.
func (r Rule) Protected() bool {
	return r.Strategy == JWT || (r.Strategy == ExtAuth && len(r.Authorizers) > 0)
}

// Unprotected is true if the rule as it stands would let everybody in, or is
// refused by the CRD because it says nothing about access. A malformed rule is
// neither protected nor unprotected.
func (r Rule) Unprotected() bool {
	return !r.Protected() && r.Strategy != Malformed
}

// Legacy is true for an object that was written as v1beta1 and could not be
// converted: it has no rules that v2 could show.
func (v View) Legacy() bool {
	return v.OriginalVersion == "v1beta1" && len(v.Rules) == 0
}

// Host returns the host, or "" if there is none.
func (v View) Host() string {
	if len(v.Hosts) == 0 {
		return ""
	}
	return v.Hosts[0]
}

// NamespacedName returns the name of the object.
func (v View) NamespacedName() types.NamespacedName {
	return types.NamespacedName{Namespace: v.Namespace, Name: v.Name}
}

// Parse reads an APIRule. namespace stands in for metadata.namespace where that
// is absent, as it may be in a request. Parse never fails and never changes
// object; a nil object gives a View without rules.
func Parse(object map[string]any, namespace string) View {
	metadata, _ := object["metadata"].(map[string]any)
	view := View{
		Namespace:  stringOr(metadata, "namespace", namespace),
		Name:       stringOr(metadata, "name", ""),
		UID:        types.UID(stringOr(metadata, "uid", "")),
		Deleting:   metadata["deletionTimestamp"] != nil,
		Controller: controller(metadata),

		HasMetadata: metadata != nil,
	}
	view.readAnnotations(metadata)
	spec, _ := object["spec"].(map[string]any)
	for _, host := range view.within(field.NewPath("spec", "hosts"), list(spec, "hosts"), maxHosts) {
		if name, ok := host.(string); ok {
			view.Hosts = append(view.Hosts, nameOf(name))
		}
	}
	view.ExternalGateway = nameOf(stringOr(spec, "externalGateway", ""))
	view.Gateway = nameOf(stringOr(spec, "gateway", view.ExternalGateway))
	view.CORS = corsOf(spec)
	view.readRules(spec)
	return view
}

func (v *View) readAnnotations(metadata map[string]any) {
	annotations, _ := metadata["annotations"].(map[string]any)
	v.HasAnnotations = annotations != nil
	v.OriginalVersion = stringOr(annotations, annotationOriginalVersion, "")
	for key, value := range annotations {
		text, ok := annotation.Text(key, value)
		if !ok {
			continue
		}
		if v.Annotations == nil {
			v.Annotations = make(map[string]string, 2)
		}
		v.Annotations[key] = text
	}
}

func (v *View) readRules(spec map[string]any) {
	rules := v.within(field.NewPath("spec", "rules"), list(spec, "rules"), MaxRules)
	if len(rules) == 0 {
		return
	}
	specService, _ := spec["service"].(map[string]any)
	v.Rules = make([]Rule, len(rules))
	for i, entry := range rules {
		object, ok := entry.(map[string]any)
		rule := Rule{Index: i, Path: stringOr(object, "path", ""), Strategy: Malformed}
		if ok {
			rule.Methods = methodsOf(list(object, "methods"))
			rule.Strategy, rule.Authorizers = v.strategy(object, rule)
			if rule.Strategy == JWT {
				rule.Tokens = v.tokensOf(object, rule)
			}
			rule.readService(object, specService, v.Namespace)
		}
		v.Rules[i] = rule
	}
}

// readService resolves the effective Service as Kyma does: the rule's Service
// replaces that of the spec, and its namespace falls back to the namespace of
// the spec's Service and then to that of the APIRule (Kyma api-gateway,
// v2alpha1/service.go, FindServiceNamespace).
func (r *Rule) readService(rule, specService map[string]any, namespace string) {
	service := specService
	if own, ok := rule["service"].(map[string]any); ok {
		service, r.OwnService = own, true
	}
	r.Service.Name = nameOf(stringOr(service, "name", ""))
	if r.Service.Name == "" {
		return
	}
	r.ServicePort, _ = service["port"].(int64)
	r.Service.Namespace = nameOf(stringOr(service, "namespace", stringOr(specService, "namespace", namespace)))
}

// strategy tells the access strategy of a rule and the authorizers of extAuth.
func (v *View) strategy(rule map[string]any, of Rule) (Strategy, []string) {
	var set []Strategy
	var authorizers []string
	wellFormed := true
	if value := rule["noAuth"]; value != nil {
		open, ok := value.(bool)
		wellFormed = wellFormed && ok
		if open {
			set = append(set, NoAuth)
		}
	}
	if value := rule["jwt"]; value != nil {
		_, ok := value.(map[string]any)
		wellFormed = wellFormed && ok
		set = append(set, JWT)
	}
	if value := rule["extAuth"]; value != nil {
		names, ok := v.authorizersOf(value, of)
		wellFormed = wellFormed && ok
		authorizers = names
		set = append(set, ExtAuth)
	}
	switch {
	case !wellFormed || len(set) > 1:
		return Malformed, nil
	case len(set) == 0:
		return Open, nil
	}
	return set[0], authorizers
}

func (v *View) tokensOf(rule map[string]any, of Rule) []TokenSource {
	jwt, _ := rule["jwt"].(map[string]any)
	entries := v.within(of.Field().Child("jwt", "authentications"), list(jwt, "authentications"), MaxAuthorizers)
	var tokens []TokenSource
	for _, entry := range entries {
		source, _ := entry.(map[string]any)
		tokens = append(tokens, TokenSource{Issuer: stringOr(source, "issuer", ""), JWKSURI: stringOr(source, "jwksUri", "")})
	}
	return tokens
}

func corsOf(spec map[string]any) CORS {
	policy, _ := spec["corsPolicy"].(map[string]any)
	entries := list(policy, "allowOrigins")
	cors := CORS{}
	cors.Credentials, _ = policy["allowCredentials"].(bool)
	if len(entries) > MaxOrigins {
		cors.Origins = []string{fmt.Sprintf("digest:%x", digest(entries))}
		return cors
	}
	for _, entry := range entries {
		origin, _ := entry.(map[string]any)
		for _, kind := range slices.Sorted(maps.Keys(origin)) {
			value, _ := origin[kind].(string)
			cors.Origins = append(cors.Origins, kind+":"+value)
		}
	}
	return cors
}

func (v *View) authorizersOf(extAuth any, of Rule) (names []string, ok bool) {
	object, ok := extAuth.(map[string]any)
	if !ok {
		return nil, false
	}
	value := object["authorizers"]
	if value == nil {
		return nil, true
	}
	entries, ok := value.([]any)
	if !ok {
		return nil, false
	}
	if len(entries) > MaxAuthorizers {
		entries = v.within(of.Field().Child("extAuth", "authorizers"), entries, MaxAuthorizers)
	}
	names = stringsOf(entries)
	return names, len(names) == len(entries)
}

func controller(metadata map[string]any) *Owner {
	for _, entry := range list(metadata, "ownerReferences") {
		reference, _ := entry.(map[string]any)
		if isController, _ := reference["controller"].(bool); isController {
			return &Owner{
				APIVersion: stringOr(reference, "apiVersion", ""),
				Kind:       stringOr(reference, "kind", ""),
				Name:       stringOr(reference, "name", ""),
			}
		}
	}
	return nil
}

func list(object map[string]any, key string) []any {
	entries, _ := object[key].([]any)
	return entries
}

// stringOr returns the non-empty string at key, or else fallback.
func stringOr(object map[string]any, key, fallback string) string {
	if value, _ := object[key].(string); value != "" {
		return value
	}
	return fallback
}

func stringsOf(entries []any) []string {
	var texts []string
	for _, entry := range entries {
		if text, ok := entry.(string); ok {
			texts = append(texts, text)
		}
	}
	return texts
}
