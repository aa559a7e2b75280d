// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

// IstioFacts is what is known about the world around an Istio CR.
type IstioFacts struct {
	// Others are the other Istio CRs of the cluster: the oldest is the active
	// one, so it may be one of them.
	Others []istio.View
	// Collection is true if the CR is deleted as part of a collection. The others
	// may be part of it too, so none of them counts as staying.
	Collection bool
	// Users returns the APIRules that use an authorizer, as namespace/name,
	// sorted. Nil means that nobody looked.
	Users func(authorizer string) []string
	// Hosts returns the hosts of these APIRules, sorted. Nil means that nobody looked.
	Hosts func(authorizer string) []string
	// Shields are the headers that the ingress gateway refuses; nil if there are none
	// or nobody looked.
	Shields []istio.Shield
	// Now is when the change is made; zero where that is not known.
	Now time.Time
}

// CheckIstio tells what is wrong with a change of an Istio CR. before is nil for
// a new CR, after is nil for a deleted one. Faults that the CR had before are
// warnings, as in [Ratchet].
func CheckIstio(before, after *istio.View, facts IstioFacts) []Finding {
	var found []Finding
	if after != nil {
		found = checkContent(*after, facts)
		if before != nil {
			found = Ratchet(checkContent(*before, facts), found)
		}
	}
	if before == nil {
		return found
	}
	return slices.Concat(found, checkInUse(*before, after, facts), checkWidened(*before, after, facts))
}

// checkContent reports what is wrong with an Istio CR by itself.
func checkContent(view istio.View, facts IstioFacts) []Finding {
	_, faults := annotation.Parse(annotation.Istio, view.Annotations)
	var found []Finding
	for _, err := range faults {
		found = append(found, annotationFinding(err))
	}
	return slices.Concat(found, checkRemovals(view, facts.Now), checkEntries(view, facts))
}

func checkEntries(view istio.View, facts IstioFacts) []Finding {
	var found []Finding
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
		found = append(found, checkIdentity(entry, facts)...)
	}
	return found
}

// checkEntry reports what is wrong with one entry.
func checkEntry(entry istio.Authorizer) []Finding {
	var found []Finding
	for _, fault := range entryFaults(entry) {
		path := entry.Field()
		for step := range strings.SplitSeq(fault.field, ".") {
			path = path.Child(step)
		}
		found = append(found, invalidAuthorizer(entry, path, fault.value, fault.problem))
	}
	if lacksPrefix(entry) {
		finding := newFinding(AuthorizerOpenPaths, Warn, entry.Field().Child("pathPrefix"), entry.Name,
			fmt.Sprintf("without a pathPrefix an oauth2-proxy lets everybody call %s of every protected host; set it to \"/verify?original=\"", openPaths),
			"no pathPrefix: "+openPaths+" of protected hosts are open")
		finding.Once = true
		found = append(found, finding)
	}
	return append(found, checkFit(entry)...)
}

func invalidAuthorizer(entry istio.Authorizer, path *field.Path, value, problem string) Finding {
	finding := newFinding(AuthorizerInvalid, Deny, path, value, problem, problem)
	finding.Subject = strings.Join([]string{entry.Name, path.String()[strings.LastIndex(path.String(), "]")+1:], value}, " ")
	return finding
}

// checkInUse reports authorizers that APIRules use and that would be gone.
func checkInUse(before istio.View, after *istio.View, facts IstioFacts) []Finding {
	path := field.NewPath("metadata", "name")
	if after != nil {
		path = field.NewPath("spec", "config", "authorizers")
	}
	allowed := allowedRemovals(before, after, facts.Now)
	var found []Finding
	for _, name := range lost(before, after, facts) {
		users := facts.users(name)
		if len(users) == 0 || slices.Contains(allowed, name) {
			continue
		}
		change := "these"
		if len(users) == 1 {
			change = "it"
		}
		found = append(found, newFinding(AuthorizerInUse, Deny, path, name,
			fmt.Sprintf("the authorizer is used by %s, whose requests would all get 403: %s; change %s first, or %s",
				apiruleCount(users), bound.List(users), change, howToAllow(name, after == nil)),
			fmt.Sprintf("%q is used by %s", name, apiruleCount(users))))
	}
	return found
}

// lost returns the names that the active CR has before the change and not after
// it, sorted. Renaming is losing the old name.
func lost(before istio.View, after *istio.View, facts IstioFacts) []string {
	was, is := registries(before, after, facts)
	return slices.DeleteFunc(slices.Clone(was.Names()), is.Has)
}

// registries returns those of the active CR before a change and after it.
func registries(before istio.View, after *istio.View, facts IstioFacts) (was, is Registry) {
	active, _ := istio.Active(append(slices.Clone(facts.Others), before))
	var remaining []istio.View
	if !facts.Collection {
		remaining = slices.Clone(facts.Others)
	}
	if after != nil {
		remaining = append(remaining, *after)
	}
	next, _ := istio.Active(remaining)
	return NewRegistry(active), NewRegistry(next)
}

func (f IstioFacts) users(authorizer string) []string {
	if f.Users == nil {
		return nil
	}
	return f.Users(authorizer)
}
