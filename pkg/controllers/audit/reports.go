// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// ReportName is the name of the report in each namespace with APIRules.
const ReportName = "extauth-guard"

const (
	manager   = "extauth-guard"
	managedBy = "app.kubernetes.io/managed-by"
)

// An object has to fit into etcd, which takes 1.5 MiB. The summary of a report counts
// all results, however many are listed.
const (
	maxResults = 1000
	// maxListedBytes is how many bytes the results of a report take, as JSON.
	maxListedBytes = 1 << 20
)

// reports writes one report for each namespace that has APIRules, in clusters that
// have a kind for that.
type reports struct {
	untyped   dynamic.Interface
	discovery discovery.DiscoveryInterface
	// kind is what is written; nil where the cluster has none of the kinds.
	kind *reportKind
	// touched are the namespaces whose report may have to change.
	touched map[string]bool
	// written holds the reports that the cluster has, by namespace, as far as
	// this replica knows.
	written map[string]string
}

func newReports(untyped dynamic.Interface, api discovery.DiscoveryInterface) *reports {
	return &reports{untyped: untyped, discovery: api, touched: map[string]bool{}, written: map[string]string{}}
}

// reportKind is a kind of report. What is in it is the same in all kinds.
type reportKind struct {
	schema.GroupVersionResource
	kind string
}

// reportKinds are the kinds that are known, the newest first. OpenReports is what
// became of the PolicyReports of the Kubernetes policy working group.
func reportKinds() []reportKind {
	return []reportKind{
		{schema.GroupVersionResource{Group: "openreports.io", Version: "v1alpha1", Resource: "reports"}, "Report"},
		{schema.GroupVersionResource{Group: "wgpolicyk8s.io", Version: "v1alpha2", Resource: "policyreports"}, "PolicyReport"},
	}
}

func (r *reports) touch(namespace string) {
	r.touched[namespace] = true
}

// look finds out which kinds of report the cluster has, and which of ours are there
// from an earlier leader or in an older kind. Where there are several kinds the newest
// is written, and what we wrote in another one is removed: nobody is to read what is
// no longer kept.
func (r *reports) look(ctx context.Context) error {
	var served []reportKind
	for _, one := range reportKinds() {
		there, err := r.serves(one)
		if err != nil {
			return err
		}
		if there {
			served = append(served, one)
		}
	}
	if len(served) == 0 {
		r.kind = nil
		return nil
	}
	if r.kind != nil && *r.kind == served[0] {
		return nil
	}
	clear(r.written)
	for i, one := range served {
		if err := r.adopt(ctx, one, i == 0); err != nil {
			return err
		}
	}
	r.kind = &served[0]
	return nil
}

func (r *reports) serves(kind reportKind) (bool, error) {
	list, err := r.discovery.ServerResourcesForGroupVersion(kind.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(list.APIResources, func(one metav1.APIResource) bool { return one.Name == kind.Resource }), nil
}

// adopt takes note of the reports of a kind that are ours, or removes them.
func (r *reports) adopt(ctx context.Context, kind reportKind, keep bool) error {
	list, err := r.untyped.Resource(kind.GroupVersionResource).List(ctx, metav1.ListOptions{LabelSelector: managedBy + "=" + manager})
	if err != nil {
		return err
	}
	for _, one := range list.Items {
		switch {
		case one.GetName() != ReportName:
		case keep:
			r.written[one.GetNamespace()] = ""
			r.touch(one.GetNamespace())
		default:
			err := r.untyped.Resource(kind.GroupVersionResource).Namespace(one.GetNamespace()).Delete(ctx, ReportName, metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
	return nil
}

// write writes the reports of the namespaces that were touched.
func (r *reports) write(ctx context.Context, b *book, now time.Time) error {
	if r.kind == nil {
		clear(r.touched)
		return nil
	}
	pages := map[string]*page{}
	b.all(func(name types.NamespacedName, _ *judged) {
		if r.touched[name.Namespace] {
			if pages[name.Namespace] == nil {
				pages[name.Namespace] = &page{}
			}
			again := b.judge(ctx, now, name)
			pages[name.Namespace].add(name, lasting(again.Findings), again.Assessments)
		}
	})
	var errs []error
	for namespace := range r.touched {
		if err := r.writeOne(ctx, namespace, pages[namespace]); err != nil {
			errs = append(errs, fmt.Errorf("writing the report of the namespace %s: %w", namespace, err))
			continue
		}
		delete(r.touched, namespace)
	}
	return errors.Join(errs...)
}

func (r *reports) writeOne(ctx context.Context, namespace string, content *page) error {
	at := r.untyped.Resource(r.kind.GroupVersionResource).Namespace(namespace)
	if content == nil {
		if _, exists := r.written[namespace]; !exists {
			return nil
		}
		if err := at.Delete(ctx, ReportName, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		delete(r.written, namespace)
		return nil
	}
	object := content.object(*r.kind, namespace)
	raw, err := json.Marshal(object.Object)
	if err != nil {
		return err
	}
	if r.written[namespace] == string(raw) {
		return nil
	}
	_, err = at.Apply(ctx, ReportName, object, metav1.ApplyOptions{FieldManager: manager, Force: true})
	if apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, namespaceGoing) {
		return nil // the namespace is going, and its APIRules with it
	}
	if err == nil {
		r.written[namespace] = string(raw)
	}
	return err
}

// namespaceGoing is the cause with which the API server refuses new objects in a
// namespace that is being deleted.
const namespaceGoing = metav1.CauseType("NamespaceTerminating")

// page is the content of one report.
type page struct {
	pass, fail, warn, skip int64
	results                []any
	size                   int // of the results, as JSON
	full                   bool
}

func (p *page) add(name types.NamespacedName, findings []policy.Finding, assessments []policy.Assessment) {
	for _, one := range findings {
		if !ofPolicy(one.Code) {
			p.result(manager, one, name)
		}
	}
	for _, one := range assessments {
		switch one.State {
		case policy.Compliant:
			p.pass++
		case policy.Exempt, policy.Excluded:
			p.skip++
		case policy.Violating:
		}
		for _, violation := range one.Violations {
			p.result(one.Policy, violation.Finding, name)
		}
	}
}

func (p *page) result(of string, finding policy.Finding, name types.NamespacedName) {
	result := "fail"
	if finding.Severity == policy.Warn {
		result = "warn"
		p.warn++
	} else {
		p.fail++
	}
	entry := map[string]any{
		"policy": of, "rule": string(finding.Code), "result": result, "source": manager,
		"message": shorten(finding.Err.Error(), maxMessage),
		"resources": []any{map[string]any{
			"apiVersion": apirule.Group + "/v2", "kind": apirule.Kind, "namespace": name.Namespace, "name": name.Name,
		}},
	}
	p.list(entry)
}

// list lists a result as long as there is room.
func (p *page) list(entry map[string]any) {
	raw, err := json.Marshal(entry)
	p.full = p.full || err != nil || len(p.results) == maxResults || p.size+len(raw) > maxListedBytes
	if p.full {
		return
	}
	p.size += len(raw)
	p.results = append(p.results, entry)
}

func (p *page) object(kind reportKind, namespace string) *unstructured.Unstructured {
	results := p.results
	if results == nil {
		results = []any{}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": kind.GroupVersion().String(),
		"kind":       kind.kind,
		"metadata":   map[string]any{"name": ReportName, "namespace": namespace, "labels": map[string]any{managedBy: manager}},
		"summary":    map[string]any{"pass": p.pass, "fail": p.fail, "warn": p.warn, "skip": p.skip, "error": int64(0)},
		"results":    results,
	}}
}
