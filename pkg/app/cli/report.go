// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/report"
)

type reportFlags struct {
	worldFlags
	output string
}

func newReport(streams Streams, now func() time.Time) *cobra.Command {
	flags := &reportFlags{}
	cmd := &cobra.Command{
		Use:   "report [FILE|DIRECTORY|- ...]",
		Short: "List which exposed hosts are protected, and how",
		Long: `List which exposed hosts are protected, and how: of the cluster, or of manifests as
the webhook would store them.

VirtualServices that nobody made for an APIRule are listed as unguarded. The HTML
page needs nothing but itself: it can be mailed, archived and printed.`,
		Example: `  kubectl extauth report
  kubectl extauth report -o html > coverage.html
  kubectl extauth report deploy/ --authorizers oauth2-proxy -o markdown`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd.Context(), args, streams, now)
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVarP(&flags.output, "output", "o", string(report.Table), "output `format`: "+strings.Join(report.Formats(), ", "))
	oneOf(cmd, "output", report.Formats()...)
	return cmd
}

func (f *reportFlags) run(ctx context.Context, args []string, streams Streams, now func() time.Time) error {
	if !slices.Contains(report.Formats(), f.output) {
		return exit.UsageError(fmt.Errorf("unknown output format %q; known are %s", f.output, strings.Join(report.Formats(), ", ")))
	}
	files, err := manifest.Find(args, streams.In)
	if err != nil {
		return exit.UsageError(err)
	}
	defer func() { _ = files.Close() }()
	f.live = f.live || len(args) == 0
	all, err := f.gather(ctx, files.List)
	if err != nil {
		return err
	}
	defer all.stop()
	linter := all.linter()
	source := strings.Join(args, ", ")
	var exposed exposed
	if len(args) > 0 {
		exposed, err = ofFiles(ctx, linter, files.List, now())
	} else {
		source = all.cluster
		exposed, err = f.ofCluster(ctx, linter, all, now())
	}
	if err != nil {
		return err
	}
	out := bufio.NewWriter(streams.Out)
	if err := report.New(now(), source, exposed.hosts, exposed.exemptions).Write(out, report.Format(f.output)); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	return nil
}

// exposed is what a report is made of.
type exposed struct {
	hosts      []report.Host
	exemptions []report.Exemption
}

func ofFiles(ctx context.Context, linter lint.Linter, files []manifest.File, now time.Time) (exposed, error) {
	var all exposed
	err := objects(ctx, files, func(_ manifest.File, object manifest.Object) error {
		if view, ok := linter.Stored(ctx, object.Value); ok {
			all.hosts = append(all.hosts, report.APIRule(view, linter.CheckStored(ctx, view)))
		}
		all.add(unstructured.Unstructured{Object: object.Value}, now)
		return nil
	})
	return all, err
}

// add adds a VirtualService or an ExtAuthPolicy, and passes over anything else.
func (e *exposed) add(object unstructured.Unstructured, now time.Time) {
	e.hosts = append(e.hosts, unguarded(object.Object)...)
	if object.GetKind() != v1alpha1.Kind || object.GroupVersionKind().Group != v1alpha1.GroupVersion.Group {
		return
	}
	var typed v1alpha1.ExtAuthPolicy
	if runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &typed) != nil {
		return // the CRD refuses it
	}
	ends := policy.CompilePolicy(&typed).ExemptionEnds()
	for i, one := range typed.Spec.Exemptions {
		expired := i < len(ends) && !now.Before(ends[i])
		e.exemptions = append(e.exemptions, report.Exemption{
			Policy: typed.Name, Namespace: one.Namespace, Name: one.Name, Paths: one.Paths,
			Reason: one.Reason, Owner: one.Owner, Expires: one.Expires, Expired: expired,
		})
	}
}

func virtualServices() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
}

func (f *reportFlags) ofCluster(ctx context.Context, linter lint.Linter, from *known, now time.Time) (exposed, error) {
	var all exposed
	for _, view := range from.world.APIRules() {
		all.hosts = append(all.hosts, report.APIRule(view, linter.CheckStored(ctx, view)))
	}
	config, err := f.kube.ToRESTConfig()
	if err != nil {
		return exposed{}, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return exposed{}, fmt.Errorf("making a client: %w", err)
	}
	for _, resource := range []schema.GroupVersionResource{virtualServices(), v1alpha1.GroupVersion.WithResource(v1alpha1.Resource)} {
		list, err := client.Resource(resource).List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue // a cluster without Istio, or without our CRD, has none
		}
		if err != nil {
			return exposed{}, fmt.Errorf("listing %s: %w", resource.Resource, err)
		}
		for _, item := range list.Items {
			all.add(item, now)
		}
	}
	return all, nil
}

// unguarded returns the hosts of a VirtualService that is bound to a gateway and
// was not made for an APIRule, which Kyma labels as their owner.
func unguarded(object map[string]any) []report.Host {
	one := unstructured.Unstructured{Object: object}
	if one.GetKind() != "VirtualService" || one.GroupVersionKind().Group != virtualServices().Group {
		return nil
	}
	for label := range one.GetLabels() {
		if strings.HasPrefix(label, "apirule."+apirule.Group+"/") {
			return nil
		}
	}
	gateways, _, _ := unstructured.NestedStringSlice(object, "spec", "gateways")
	gateways = slices.DeleteFunc(gateways, func(name string) bool { return name == "mesh" })
	if len(gateways) == 0 {
		return nil
	}
	hosts, _, _ := unstructured.NestedStringSlice(object, "spec", "hosts")
	return report.VirtualService(one.GetNamespace(), one.GetName(), strings.Join(gateways, ", "), hosts)
}
