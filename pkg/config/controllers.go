// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

// LeaderElection says how the replicas agree on the one whose controllers run.
// Admission needs no leader: every replica answers.
type LeaderElection struct {
	// Enabled is false where there is only one replica for certain.
	Enabled bool `json:"enabled"`
	// Namespace is where the Lease is; "" is that of the Pod.
	Namespace string `json:"namespace"`
	// LeaseDuration is how long the others wait for a leader that went silent.
	LeaseDuration metav1.Duration `json:"leaseDuration"`
	// RenewDeadline is how long a leader that cannot renew goes on.
	RenewDeadline metav1.Duration `json:"renewDeadline"`
	// RetryPeriod is the time between two attempts.
	RetryPeriod metav1.Duration `json:"retryPeriod"`
}

// Controllers says which controllers run on the leader.
type Controllers struct {
	Audit    Audit    `json:"audit"`
	Reinject Reinject `json:"reinject"`
	Expose   Expose   `json:"expose"`
	Internal Internal `json:"internal"`
	// Guarantee is left out of a configuration that does not need it.
	Guarantee Guarantee `json:"guarantee,omitzero"`
}

// Audit configures the controller that compares APIRules with policies.
type Audit struct {
	Enabled bool `json:"enabled"`
	// Period is how often everything is looked at again, besides at changes: an
	// exemption that expires changes no object.
	Period metav1.Duration `json:"period"`
}

// Reinject configures the controller that brings later annotations and policies
// to APIRules that exist.
type Reinject struct {
	Enabled bool `json:"enabled"`
}

// Expose configures the controller that makes APIRules for annotated Services.
type Expose struct {
	Enabled bool `json:"enabled"`
	// Gateway is the Gateway, as namespace/name, of Services that name none.
	Gateway string `json:"gateway"`
}

// Internal configures the controller that lets callers inside the mesh call Services
// which APIRules expose, where an annotation asks for that.
type Internal struct {
	Enabled bool `json:"enabled"`
}

// Guarantee configures the controller that tells the API server's own admission
// policies about the cluster.
type Guarantee struct {
	Enabled bool `json:"enabled"`
	// Namespace is where its ConfigMap is, which somebody else has to make.
	Namespace string `json:"namespace"`
}

func defaultLeaderElection() LeaderElection {
	return LeaderElection{
		Enabled:       true,
		LeaseDuration: metav1.Duration{Duration: 15 * time.Second},
		RenewDeadline: metav1.Duration{Duration: 10 * time.Second},
		RetryPeriod:   metav1.Duration{Duration: 2 * time.Second},
	}
}

func defaultControllers() Controllers {
	return Controllers{
		Audit:    Audit{Enabled: true, Period: metav1.Duration{Duration: 10 * time.Minute}},
		Reinject: Reinject{Enabled: true},
		Expose:   Expose{Enabled: true, Gateway: "kyma-system/kyma-gateway"},
	}
}

func validateLeaderElection(path *field.Path, election LeaderElection) field.ErrorList {
	var errs field.ErrorList
	if election.Namespace != "" {
		for _, problem := range validation.IsDNS1123Label(election.Namespace) {
			errs = append(errs, field.Invalid(path.Child("namespace"), election.Namespace, problem))
		}
	}
	lease, renew, retry := election.LeaseDuration.Duration, election.RenewDeadline.Duration, election.RetryPeriod.Duration
	if retry <= 0 {
		errs = append(errs, field.Invalid(path.Child("retryPeriod"), retry.String(), "must be more than 0s"))
	}
	// client-go waits up to 1.2 times the retry period (leaderelection.JitterFactor).
	if renew <= retry+retry/5 {
		errs = append(errs, field.Invalid(path.Child("renewDeadline"), renew.String(), "must be more than 1.2 times retryPeriod"))
	}
	if lease <= renew || lease < time.Second {
		errs = append(errs, field.Invalid(path.Child("leaseDuration"), lease.String(), "must be more than renewDeadline, and at least 1s"))
	}
	return errs
}

func validateControllers(path *field.Path, controllers Controllers) field.ErrorList {
	var errs field.ErrorList
	if period := controllers.Audit.Period.Duration; period < time.Second {
		errs = append(errs, field.Invalid(path.Child("audit", "period"), period.String(), "must be at least 1s"))
	}
	if controllers.Guarantee.Enabled {
		for _, problem := range validation.IsDNS1123Label(controllers.Guarantee.Namespace) {
			errs = append(errs, field.Invalid(path.Child("guarantee", "namespace"), controllers.Guarantee.Namespace, problem))
		}
	}
	if gateway := controllers.Expose.Gateway; !annotation.IsGatewayName(gateway) {
		errs = append(errs, field.Invalid(path.Child("expose", "gateway"), gateway, "must be namespace/name, for example kyma-system/kyma-gateway"))
	}
	return errs
}
