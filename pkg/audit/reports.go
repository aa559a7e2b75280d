// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// ReportName is the name of the PolicyReport in each namespace with APIRules.
const ReportName = "extauth-guard"

const (
	manager   = "extauth-guard"
	managedBy = "app.kubernetes.io/managed-by"
)

// maxResults is how many results a report lists; its summary counts them all. An
// object has to fit into etcd.
const maxResults = 1000

// reports writes one PolicyReport for each namespace that has APIRules, in
// clusters that have the kind.
type reports struct {
	untyped   dynamic.Interface
	discovery discovery.DiscoveryInterface
	served    bool
	// touched are the namespaces whose report may have to change.
	touched map[string]bool
	// written holds the reports that the cluster has, by namespace, as far as
	// this replica knows.
	written map[string]string
}

func newReports(untyped dynamic.Interface, api discovery.DiscoveryInterface) *reports {
	return &reports{untyped: untyped, discovery: api, touched: map[string]bool{}, written: map[string]string{}}
}

func policyReports() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "wgpolicyk8s.io", Version: "v1alpha2", Resource: "policyreports"}
}

func (r *reports) touch(namespace string) {
	r.touched[namespace] = true
}

// look finds out whether the cluster has PolicyReports, and which of ours are
// there from an earlier leader.
func (r *reports) look(ctx context.Context) error {
	served := r.served
	_, err := r.discovery.ServerResourcesForGroupVersion(policyReports().GroupVersion().String())
	if apierrors.IsNotFound(err) {
		r.served = false
		return nil
	}
	if err != nil {
		return err
	}
	r.served = true
	if served {
		return nil
	}
	list, err := r.untyped.Resource(policyReports()).List(ctx, metav1.ListOptions{LabelSelector: managedBy + "=" + manager})
	if err != nil {
		return err
	}
	for _, one := range list.Items {
		if one.GetName() == ReportName {
			r.written[one.GetNamespace()] = ""
			r.touch(one.GetNamespace())
		}
	}
	return nil
}

// write writes the reports of the namespaces that were touched.
func (r *reports) write(ctx context.Context, b *book, now time.Time) error {
	if !r.served {
		clear(r.touched)
		return nil
	}
	pages := map[string]*page{}
	b.all(func(name types.NamespacedName, _ *verdict) {
		if r.touched[name.Namespace] {
			if pages[name.Namespace] == nil {
				pages[name.Namespace] = &page{}
			}
			pages[name.Namespace].add(name, b.sentences(ctx, now, name), b.assess(ctx, now, name))
		}
	})
	var errs []error
	for namespace := range r.touched {
		if err := r.writeOne(ctx, namespace, pages[namespace]); err != nil {
			errs = append(errs, fmt.Errorf("writing the PolicyReport of the namespace %s: %w", namespace, err))
			continue
		}
		delete(r.touched, namespace)
	}
	return errors.Join(errs...)
}

func (r *reports) writeOne(ctx context.Context, namespace string, content *page) error {
	at := r.untyped.Resource(policyReports()).Namespace(namespace)
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
	object := content.object(namespace)
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
		case policy.Exempt:
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
	if len(p.results) == maxResults {
		return
	}
	p.results = append(p.results, map[string]any{
		"policy": of, "rule": string(finding.Code), "result": result, "source": manager,
		"message": shorten(finding.Err.Error(), maxMessage),
		"resources": []any{map[string]any{
			"apiVersion": apirule.Group + "/v2", "kind": apirule.Kind, "namespace": name.Namespace, "name": name.Name,
		}},
	})
}

func (p *page) object(namespace string) *unstructured.Unstructured {
	results := p.results
	if results == nil {
		results = []any{}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": policyReports().GroupVersion().String(),
		"kind":       "PolicyReport",
		"metadata":   map[string]any{"name": ReportName, "namespace": namespace, "labels": map[string]any{managedBy: manager}},
		"summary":    map[string]any{"pass": p.pass, "fail": p.fail, "warn": p.warn, "skip": p.skip, "error": int64(0)},
		"results":    results,
	}}
}
