// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

// IstioFacts is what is known about the world around an Istio CR.
type IstioFacts struct {
	// Others are the other Istio CRs of the cluster: the oldest is the active
	// one, so it may be one of them.
	Others []istio.View
	// Users returns the APIRules that use an authorizer, as namespace/name,
	// sorted. Nil means that nobody looked.
	Users func(authorizer string) []string
}

// CheckIstio tells what is wrong with a change of an Istio CR. before is nil for
// a new CR, after is nil for a deleted one. Faults that the CR had before are
// warnings, as in [Ratchet].
func CheckIstio(before, after *istio.View, facts IstioFacts) []Finding {
	var found []Finding
	if after != nil {
		found = checkEntries(*after)
		if before != nil {
			found = Ratchet(checkEntries(*before), found)
		}
	}
	if before == nil {
		return found
	}
	return append(found, checkInUse(*before, after, facts)...)
}

// AllowedRemovals returns the authorizers in use that a change removes because
// the annotation [annotation.AllowRemoval] allows it, sorted; they deserve a
// line in the log.
func AllowedRemovals(before, after *istio.View, facts IstioFacts) []string {
	if before == nil {
		return nil
	}
	allowed, _ := allowedRemovals(*before, after)
	var removed []string
	for _, name := range lost(*before, after, facts) {
		if slices.Contains(allowed, name) && len(facts.users(name)) > 0 {
			removed = append(removed, name)
		}
	}
	return removed
}

func checkEntries(view istio.View) []Finding {
	_, faults := annotation.Parse(annotation.Istio, view.Annotations)
	if value, present := view.Annotations[annotation.AllowRemoval]; present {
		_, errs := annotation.ParseNames(annotation.Path(annotation.AllowRemoval), value)
		faults = append(faults, errs...)
	}
	var found []Finding
	for _, err := range faults {
		found = append(found, annotationFinding(err))
	}
	first := map[string]int{}
	for _, entry := range view.Authorizers {
		if entry.Malformed {
			found = append(found, invalidAuthorizer(entry, entry.Field(), "", "must be an object with a name"))
			continue
		}
		if earlier, repeated := first[entry.Name]; repeated {
			found = append(found, newFinding(AuthorizerDuplicate, Deny, entry.Field().Child("name"), entry.Name,
				fmt.Sprintf("the name is taken by spec.config.authorizers[%d]; the Istio module stops reconciling at a duplicate, so nothing of this CR would take effect; choose another name", earlier),
				fmt.Sprintf("%q is taken by spec.config.authorizers[%d]", entry.Name, earlier)))
		} else {
			first[entry.Name] = entry.Index
		}
		found = append(found, checkEntry(entry)...)
	}
	return found
}

// checkEntry reports what the CRD lets through and the mesh does not take: istiod
// then denies every request, with nothing but a line in its log (Istio pilot,
// security/authz/builder/extauthz.go; Kyma istio, v1alpha2/istio_merge.go).
func checkEntry(entry istio.Authorizer) []Finding {
	var found []Finding
	if len(validation.IsDNS1123Label(entry.Name)) > 0 {
		found = append(found, invalidAuthorizer(entry, entry.Field().Child("name"), entry.Name,
			"istiod takes only names of up to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit"))
	}
	if entry.Port < 1 || entry.Port > 65535 {
		found = append(found, invalidAuthorizer(entry, entry.Field().Child("port"), strconv.FormatInt(entry.Port, 10), "must be a port between 1 and 65535"))
	}
	if entry.Service == "" {
		found = append(found, invalidAuthorizer(entry, entry.Field().Child("service"), "",
			"must be the host name of the authorizer's Service, for example oauth2-proxy.oauth2-proxy.svc.cluster.local"))
	}
	if entry.PathPrefix != "" && !strings.HasPrefix(entry.PathPrefix, "/") {
		found = append(found, invalidAuthorizer(entry, entry.Field().Child("pathPrefix"), entry.PathPrefix, `must begin with "/"`))
	}
	if problem := timeoutProblem(entry.Timeout); problem != "" {
		found = append(found, invalidAuthorizer(entry, entry.Field().Child("timeout"), entry.Timeout, problem))
	}
	if entry.PathPrefix == "" {
		finding := newFinding(AuthorizerOpenPaths, Warn, entry.Field().Child("pathPrefix"), entry.Name,
			fmt.Sprintf("without a pathPrefix an oauth2-proxy lets everybody call %s of every protected host; set it to \"/verify?original=\"", openPaths),
			"no pathPrefix: "+openPaths+" of protected hosts are open")
		finding.Once = true
		found = append(found, finding)
	}
	return found
}

// timeoutProblem says what is wrong with a timeout, or "": Kyma cuts it to whole
// seconds, so that "500ms" becomes none at all.
func timeoutProblem(timeout string) string {
	if timeout == "" {
		return ""
	}
	duration, err := time.ParseDuration(timeout)
	switch {
	case err != nil:
		return `must be a duration, for example "5s"; one that cannot be read makes the Istio module fail for all CRs`
	case duration < time.Second || duration%time.Second != 0:
		return "must be whole seconds, at least 1s: the Istio module cuts off the rest"
	}
	return ""
}

func invalidAuthorizer(entry istio.Authorizer, path *field.Path, value, problem string) Finding {
	finding := newFinding(AuthorizerInvalid, Deny, path, value, problem, problem)
	finding.Subject = strings.Join([]string{entry.Name, path.String()[strings.LastIndex(path.String(), "]")+1:], value}, " ")
	return finding
}

// checkInUse reports authorizers that APIRules use and that would be gone.
func checkInUse(before istio.View, after *istio.View, facts IstioFacts) []Finding {
	allowed, path := allowedRemovals(before, after)
	var found []Finding
	for _, name := range lost(before, after, facts) {
		users := facts.users(name)
		if len(users) == 0 || slices.Contains(allowed, name) {
			continue
		}
		by, change := fmt.Sprintf("%d APIRules", len(users)), "these"
		if len(users) == 1 {
			by, change = "1 APIRule", "it"
		}
		found = append(found, newFinding(AuthorizerInUse, Deny, path, name,
			fmt.Sprintf("the authorizer is used by %s, whose requests would all get 403: %s; change %s first, or allow the removal with the annotation %s: %s",
				by, enumerate(users), change, annotation.AllowRemoval, name),
			fmt.Sprintf("%q is used by %s", name, by)))
	}
	return found
}

// lost returns the names that the active CR has before the change and not after
// it, sorted. Renaming is losing the old name.
func lost(before istio.View, after *istio.View, facts IstioFacts) []string {
	var names []string
	active, found := istio.Active(append(slices.Clone(facts.Others), before))
	if !found {
		return nil
	}
	remaining := slices.Clone(facts.Others)
	if after != nil {
		remaining = append(remaining, *after)
	}
	next, _ := istio.Active(remaining)
	kept := NewRegistry(next)
	for _, name := range NewRegistry(active).Names() {
		if !kept.Has(name) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func allowedRemovals(before istio.View, after *istio.View) ([]string, *field.Path) {
	current, path := before, field.NewPath("metadata", "name")
	if after != nil {
		current, path = *after, field.NewPath("spec", "config", "authorizers")
	}
	allowed, _ := annotation.ParseNames(nil, current.Annotations[annotation.AllowRemoval])
	return allowed, path
}

func (f IstioFacts) users(authorizer string) []string {
	if f.Users == nil {
		return nil
	}
	return f.Users(authorizer)
}
