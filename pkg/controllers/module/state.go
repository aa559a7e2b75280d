// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package module

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/settings"
)

// The types of the conditions.
const (
	Ready              = "Ready"
	SettingsApplied    = "SettingsApplied"
	AdmissionReachable = "AdmissionReachable"
	CertificateValid   = "CertificateValid"
	RegistryKnown      = "RegistryKnown"
	AuthorizersReady   = "AuthorizersReady"
	Covered            = "Covered"
)

// The reasons of conditions that are not True.
const (
	ReasonNotTheOne               = "NotTheOne"
	ReasonInvalidSpec             = "InvalidSpec"
	ReasonNotRead                 = "NotRead"
	ReasonNotRegistered           = "NotRegistered"
	ReasonNoBundle                = "NoCABundle"
	ReasonNoEndpoint              = "NoReadyEndpoint"
	ReasonNoCertificate           = "NoCertificate"
	ReasonExpired                 = "Expired"
	ReasonExpiresSoon             = "ExpiresSoon"
	ReasonNotTrusted              = "NotTrusted"
	ReasonNoIstioCR               = "NoIstioCR"
	ReasonIstioTroubled           = "IstioTroubled"
	ReasonSeveralIstioCRs         = "SeveralIstioCRs"
	ReasonRegistryUnknown         = "RegistryUnknown"
	ReasonAuthorizerNotRegistered = "AuthorizerNotRegistered"
	ReasonAuthorizerNotReady      = "AuthorizerNotReady"
	ReasonAuthorizerNotInForce    = "AuthorizerNotInForce"
	ReasonNotAudited              = "NotAudited"
	ReasonNotCovered              = "NotCovered"
)

// patience is how long something may be unknown after the start before that is a
// warning.
const patience = 2 * time.Minute

// StateFor returns the state that a condition makes by itself. What is False makes
// Error if something does not work, and Warning if somebody has to look:
//
//	Warning: ExpiresSoon, IstioTroubled, SeveralIstioCRs, AuthorizerNotRegistered,
//	         NotCovered, NotTheOne
//	Error:   everything else
//
// What is unknown makes Processing, and Warning if it has been so for long; it never
// makes Ready.
func StateFor(status metav1.ConditionStatus, reason string, long bool) v1alpha1.State {
	switch {
	case status == metav1.ConditionTrue:
		return v1alpha1.StateReady
	case status != metav1.ConditionFalse && !long:
		return v1alpha1.StateProcessing
	case status != metav1.ConditionFalse:
		return v1alpha1.StateWarning
	}
	switch reason {
	case ReasonExpiresSoon, ReasonIstioTroubled, ReasonSeveralIstioCRs, ReasonAuthorizerNotRegistered, ReasonNotCovered, ReasonNotTheOne:
		return v1alpha1.StateWarning
	}
	return v1alpha1.StateError
}

// rank orders the states; the worst of several is that of all.
func rank(state v1alpha1.State) int {
	return slices.Index([]v1alpha1.State{v1alpha1.StateReady, v1alpha1.StateProcessing, v1alpha1.StateWarning, v1alpha1.StateError}, state)
}

// Status returns the status of an ExtAuthGuard: what was observed, if it is the one
// that counts, with the times of transition from the status that it has.
func Status(guard settings.Guard, seen Observed) v1alpha1.ExtAuthGuardStatus {
	status := *guard.Object.Status.DeepCopy()
	status.ObservedGeneration = guard.Object.Generation
	if !guard.Counts {
		status.Policy = nil
		status.Conditions = slices.DeleteFunc(status.Conditions, func(one metav1.Condition) bool { return one.Type != Ready })
		return concluded(status, guard, seen, []verdict{{Ready, bad(ReasonNotTheOne,
			"only the ExtAuthGuard %s in the namespace of the installation counts; this one changes nothing: delete it, and write spec.policy there", v1alpha1.GuardName)}})
	}
	if guard.Applied != nil {
		status.Policy = guard.Applied
	}
	verdicts := []verdict{
		{SettingsApplied, applied(guard)},
		{AdmissionReachable, seen.admission()},
		{CertificateValid, seen.certificate()},
		{RegistryKnown, seen.registry()},
		{AuthorizersReady, seen.authorizers()},
		{Covered, seen.covered()},
	}
	for _, one := range verdicts {
		set(&status, one.kind, one.found, seen.Now)
	}
	return concluded(status, guard, seen, verdicts)
}

// verdict is what was found about one condition.
type verdict struct {
	kind  string
	found found
}

// concluded sets the state, and the condition Ready, which says why.
func concluded(status v1alpha1.ExtAuthGuardStatus, guard settings.Guard, seen Observed, verdicts []verdict) v1alpha1.ExtAuthGuardStatus {
	long := seen.Now.Sub(seen.Since) >= patience
	worst, others := found{metav1.ConditionTrue, "Ready", "everything works"}, 0
	status.State = v1alpha1.StateReady
	for _, one := range verdicts {
		state := StateFor(one.found.status, one.found.reason, long)
		if state == v1alpha1.StateReady {
			continue
		}
		others++
		if rank(state) > rank(status.State) {
			status.State, worst = state, found{metav1.ConditionFalse, one.found.reason, one.found.message}
		}
	}
	if others > 1 {
		worst.message += fmt.Sprintf(" (and %d more: see the other conditions)", others-1)
	}
	if guard.Object.DeletionTimestamp != nil {
		status.State = v1alpha1.StateDeleting
		worst = found{metav1.ConditionFalse, "Deleting", "what the configuration file says counts again when the ExtAuthGuard is gone"}
	}
	set(&status, Ready, worst, seen.Now)
	return status
}

func set(status *v1alpha1.ExtAuthGuardStatus, kind string, said found, now time.Time) {
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: kind, Status: said.status, Reason: said.reason, Message: said.message,
		ObservedGeneration: status.ObservedGeneration, LastTransitionTime: metav1.NewTime(now.UTC().Truncate(time.Second)),
	})
}

// applied says whether the spec is in force.
func applied(guard settings.Guard) found {
	if len(guard.Faults) == 0 {
		return good("Applied", "what the spec says is in force, over the configuration file")
	}
	return bad(ReasonInvalidSpec, "%s; what was in force before still is", shorten(guard.Faults.ToAggregate().Error()))
}
