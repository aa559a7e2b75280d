// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"
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

	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/report"
)

type reportFlags struct {
	worldFlags
	output  string
	failOn  []string
	compare string
}

// worse is what --fail-on takes besides verdicts.
const worse = "worse"

// failures are what --fail-on takes.
func failures() []string {
	all := []string{worse}
	for _, verdict := range policy.Verdicts() {
		if verdict != policy.Protected {
			all = append(all, string(verdict))
		}
	}
	return all
}

func newReport(streams Streams, now func() time.Time) *cobra.Command {
	flags := &reportFlags{}
	cmd := &cobra.Command{
		Use:   "report [FILE|DIRECTORY|- ...]",
		Short: "List which exposed hosts are protected, and how",
		Long: `List which exposed hosts are protected, and how, the worst first: of the cluster, or of
manifests as the webhook would store them. docs/verdicts.md says what the verdicts mean.

With --namespace only what is in that namespace is listed. VirtualServices that nobody
made for an APIRule are Unknown. The HTML page needs nothing but itself: it can be
mailed, archived and printed.

Exit code 1 means that a host has a verdict of --fail-on, or that one got worse since
the report of --compare, if --fail-on says worse.`,
		Example: `  kubectl extauth report
  kubectl extauth report -n shop
  kubectl extauth report -o html > coverage.html
  kubectl extauth report --fail-on NotEnforced,Open
  kubectl extauth report --compare last.json --fail-on worse
  kubectl extauth report deploy/ --authorizers oauth2-proxy -o markdown`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd.Context(), args, streams, now)
		},
	}
	flags.register(cmd, streams.Err)
	cmd.Flags().StringVarP(&flags.output, "output", "o", string(report.Table), "output `format`: "+strings.Join(report.Formats(), ", "))
	cmd.Flags().StringSliceVar(&flags.failOn, "fail-on", nil, "the `verdicts` that make the exit code 1, or worse: "+strings.Join(failures(), ", "))
	cmd.Flags().StringVar(&flags.compare, "compare", "", "an earlier report as JSON, a `file`, to say what changed")
	oneOf(cmd, "output", report.Formats()...)
	oneOf(cmd, "fail-on", failures()...)
	return cmd
}

func (f *reportFlags) run(ctx context.Context, args []string, streams Streams, now func() time.Time) error {
	if !slices.Contains(report.Formats(), f.output) {
		return exit.UsageError(fmt.Errorf("unknown output format %q; known are %s", f.output, strings.Join(report.Formats(), ", ")))
	}
	earlier, err := f.earlier()
	if err != nil {
		return exit.UsageError(err)
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
	linter := all.linter()
	source := strings.Join(args, ", ")
	only := f.kube.namespace()
	var exposed exposed
	if len(args) > 0 {
		exposed, err = ofFiles(ctx, linter, all, files.List, now())
	} else {
		source = all.cluster
		exposed, err = f.ofCluster(ctx, linter, all, now())
	}
	if err != nil {
		return err
	}
	if only != "" {
		source += ", namespace " + only
		exposed.hosts = slices.DeleteFunc(exposed.hosts, func(host report.Host) bool { return host.Namespace != only })
		exposed.exemptions = slices.DeleteFunc(exposed.exemptions, func(one report.Exemption) bool { return one.Namespace != only })
	}
	return f.print(streams, report.New(now(), source, exposed.hosts, exposed.exemptions), earlier)
}

// print prints the report, with what changed since the earlier one if there is one.
func (f *reportFlags) print(streams Streams, made report.Report, earlier *report.Report) error {
	if earlier != nil {
		made = made.Since(*earlier)
	}
	out := bufio.NewWriter(streams.Out)
	if err := made.Write(out, report.Format(f.output)); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	if f.fails(made) {
		return errSaid
	}
	return nil
}

// earlier reads the report of --compare; nil if there is none.
func (f *reportFlags) earlier() (*report.Report, error) {
	for _, one := range f.failOn {
		if !slices.Contains(failures(), one) {
			return nil, fmt.Errorf("--fail-on does not know %q; it knows %s", one, strings.Join(failures(), ", "))
		}
	}
	if f.compare == "" {
		if slices.Contains(f.failOn, worse) {
			return nil, fmt.Errorf("--fail-on %s needs an earlier report; name one with --compare", worse)
		}
		return nil, nil
	}
	file, err := os.Open(f.compare)
	if err != nil {
		return nil, fmt.Errorf("reading --compare: %w", err)
	}
	defer func() { _ = file.Close() }()
	earlier, err := report.Read(file)
	if err != nil {
		return nil, fmt.Errorf("reading --compare: %s: %w", f.compare, err)
	}
	return &earlier, nil
}

// fails is true if the report has what --fail-on names.
func (f *reportFlags) fails(made report.Report) bool {
	bad := func(host report.Host) bool { return slices.Contains(f.failOn, string(host.Verdict)) }
	return slices.ContainsFunc(made.Hosts, bad) ||
		slices.Contains(f.failOn, worse) && slices.ContainsFunc(made.Changes, report.Change.Worse)
}

// exposed is what a report is made of.
type exposed struct {
	hosts      []report.Host
	exemptions []report.Exemption
}

func ofFiles(ctx context.Context, linter lint.Linter, from *known, files []manifest.File, now time.Time) (exposed, error) {
	var all exposed
	err := objects(ctx, files, func(_ manifest.File, object manifest.Object) error {
		if examined, ok := linter.Examine(ctx, object.Value); ok {
			all.addAPIRule(from, examined)
		}
		all.add(unstructured.Unstructured{Object: object.Value}, now)
		return nil
	}, exit.UsageError)
	return all, err
}

func (e *exposed) addAPIRule(from *known, examined *lint.Examined) {
	hosts := report.APIRule(examined.View, from.world.GatewayDomain(examined.View.Gateway), examined.Judgement)
	for i := range hosts {
		hosts[i].Excluded = from.settings.ExcludedNamespaces[examined.View.Namespace]
		from.addCallers(&hosts[i])
	}
	e.hosts = append(e.hosts, hosts...)
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
		all.addAPIRule(from, linter.ExamineStored(ctx, view))
	}
	config, err := f.kube.config()
	if err != nil {
		return exposed{}, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return exposed{}, fmt.Errorf("making a client: %w", err)
	}
	for _, resource := range []schema.GroupVersionResource{virtualServices(), v1alpha1.GroupVersion.WithResource(v1alpha1.Resource)} {
		list, err := client.Resource(resource).List(ctx, metav1.ListOptions{})
		if apierrors.IsForbidden(err) && resource == virtualServices() {
			list, err = client.Resource(resource).Namespace(from.namespace).List(ctx, metav1.ListOptions{})
		}
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
			continue // a cluster without Istio, or without our CRD, has none; what may not be read was said
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
	if istio.MadeByKyma(object) {
		return nil
	}
	gateways, _, _ := unstructured.NestedStringSlice(object, "spec", "gateways")
	gateways = slices.DeleteFunc(gateways, func(name string) bool { return name == "mesh" })
	if len(gateways) == 0 {
		return nil
	}
	hosts, _, _ := unstructured.NestedStringSlice(object, "spec", "hosts")
	return report.VirtualService(one.GetNamespace(), one.GetName(), strings.Join(gateways, ", "), hosts)
}
