// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Audit annotations of an answer. The API server prefixes them with the name of
// the webhook, and they appear in the cluster's audit log.
const (
	auditCodes    = "codes"
	auditInjected = "injected"
	auditSkipped  = "skipped"
	auditVerdict  = "verdict"
	// auditOthers has the objects of other namespaces that the answer does not name.
	auditOthers = "others"
)

// retryAfter is how long a client should wait when the registry is not known.
const retryAfter = 2 // seconds

// answer renders findings: denials as the API server renders its own, with one
// cause for each field, and everything else as a few warnings.
func (d Decider) answer(hook Hook, req Request, kind string, findings []policy.Finding) admission.Response {
	response := admission.Allowed("")
	var denials, retries field.ErrorList
	full := d.ForeignNames != nil && d.ForeignNames()
	for _, finding := range findings {
		d.Metrics.Finding(string(hook), string(finding.Code), string(finding.Severity))
	}
	var others []string
	var warnings []policy.Finding
	for _, finding := range policy.Bounded(findings) {
		if !full {
			others = append(others, finding.Foreign...)
			finding = finding.Unnamed()
		}
		switch {
		case finding.Severity == policy.Warn:
			warnings = append(warnings, finding)
		case finding.Severity == policy.Deny && finding.Retryable():
			retries = append(retries, finding.Err)
		case finding.Severity == policy.Deny:
			denials = append(denials, finding.Err)
		}
	}
	response.Warnings = policy.Warnings(warnings)
	if len(findings) > 0 {
		response.AuditAnnotations = map[string]string{auditCodes: strings.Join(policy.Codes(findings), ",")}
	}
	slices.Sort(others)
	response = audited(response, auditOthers, strings.Join(slices.Compact(others), ","))
	group := schema.GroupKind{Group: req.Kind.Group, Kind: kind}
	switch {
	case len(denials) > 0: // what is wrong for good comes before what may pass
		response.Allowed = false
		response.Result = invalid(group, req.Name, append(denials, retries...))
	case len(retries) > 0:
		response.Allowed = false
		response.Result = unavailable(group, req.Name, retries)
	}
	return response
}

func invalid(kind schema.GroupKind, name string, errs field.ErrorList) *metav1.Status {
	status := apierrors.NewInvalid(kind, name, errs).Status()
	return &status
}

// unavailable is "503, try again": the object may be right, and we cannot tell.
func unavailable(kind schema.GroupKind, name string, errs field.ErrorList) *metav1.Status {
	status := invalid(kind, name, errs)
	status.Code = http.StatusServiceUnavailable
	status.Reason = metav1.StatusReasonServiceUnavailable
	status.Message = fmt.Sprintf("cannot decide on %s %q now: %s", kind.String(), name, errs.ToAggregate())
	status.Details.RetryAfterSeconds = retryAfter
	return status
}

// inject adds the patch of an injection to an answer that allows.
func (d Decider) inject(response admission.Response, view apirule.View, injection policy.Injection) admission.Response {
	if injection.Skipped != "" {
		d.Metrics.Skip(string(injection.Skipped))
		return audited(response, auditSkipped, string(injection.Skipped))
	}
	var injected, skipped []string
	for _, outcome := range injection.Outcomes {
		if outcome.Reason == policy.Injected {
			source, _, _ := strings.Cut(outcome.From, " ")
			d.Metrics.Injection(source)
			injected = append(injected, strconv.Itoa(outcome.Rule)+":"+outcome.From)
			continue
		}
		d.Metrics.Skip(string(outcome.Reason))
		skipped = append(skipped, strconv.Itoa(outcome.Rule)+":"+string(outcome.Reason))
	}
	response = audited(audited(response, auditInjected, strings.Join(injected, ",")), auditSkipped, strings.Join(skipped, ","))
	if injection.Edits.Empty() {
		return response
	}
	patch, err := json.Marshal(apirule.JSONPatch(view, injection.Edits))
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, fmt.Errorf("encoding the patch: %w", err))
	}
	jsonPatch := admissionv1.PatchTypeJSONPatch
	response.Patch, response.PatchType = patch, &jsonPatch
	return response
}

func audited(response admission.Response, key, value string) admission.Response {
	if value == "" {
		return response
	}
	if response.AuditAnnotations == nil {
		response.AuditAnnotations = map[string]string{}
	}
	response.AuditAnnotations[key] = value
	return response
}
