// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/retry"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/facts/cluster"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// write adds the entry to the active Istio CR, or replaces the one of its name.
func (f *registerFlags) write(ctx context.Context, streams Streams, entry map[string]any) error {
	all := &known{}
	world, err := all.read(ctx, &f.worldFlags)
	if err != nil {
		return err
	}
	config, _, err := f.connection()
	if err != nil {
		return exit.UsageError(err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	var done string
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		done, err = f.upsert(ctx, client, streams, world, all.gaps, entry)
		return err
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(streams.Out, done)
	return err
}

// upsert is one try on the list as it is now. It returns what became of the entry.
func (f *registerFlags) upsert(ctx context.Context, client dynamic.Interface, streams Streams, world *facts.World, gaps []cluster.Gap, entry map[string]any) (string, error) {
	object, err := activeIstio(ctx, client)
	if err != nil {
		return "", err
	}
	before := istio.Parse(object.Object)
	about := fmt.Sprintf("the authorizer %q in the Istio CR %s", entry["name"], before.NamespacedName())
	list, _, _ := unstructured.NestedSlice(object.Object, "spec", "config", "authorizers")
	list, changed := istio.ReplaceAuthorizer(list, entry)
	if !changed {
		return about + " is as it should be already", nil
	}
	if err := unstructured.SetNestedSlice(object.Object, list, "spec", "config", "authorizers"); err != nil {
		return "", fmt.Errorf("setting spec.config.authorizers: %w", err)
	}
	after := istio.Parse(object.Object)
	around := world.IstioFacts(before.NamespacedName())
	around.Now = time.Now()
	findings := policy.CheckIstio(&before, &after, around)
	if err := refusals(findings); err != nil {
		return "", err
	}
	if err := f.consent(&before, entry, around, gaps); err != nil {
		return "", err
	}
	warnAbout(streams.Err, &after, entry["name"], findings)
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": object.GetResourceVersion()},
		"spec":     map[string]any{"config": map[string]any{"authorizers": list}},
	})
	if err != nil {
		return "", fmt.Errorf("making the patch: %w", err)
	}
	_, err = client.Resource(istios()).Namespace(before.Namespace).Patch(ctx, before.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "kubectl-extauth"})
	if apierrors.IsConflict(err) {
		return "", err // with its type, for another try
	}
	if err != nil {
		return "", fmt.Errorf("writing the Istio CR %s: %w", before.NamespacedName(), err)
	}
	return about + " is written", nil
}

// warnAbout prints what is said about the entry of a name; the others are no business of
// this command.
func warnAbout(w io.Writer, after *istio.View, name any, findings []policy.Finding) {
	at := slices.IndexFunc(after.Authorizers, func(one istio.Authorizer) bool { return one.Name == name })
	for _, one := range findings {
		if strings.HasPrefix(one.Err.Field, after.Authorizers[at].Field().String()) {
			quote.Fprintf(w, "Warning: %s\n", one.Err.Error())
		}
	}
}

// consent asks for --replace where requests of APIRules would be decided in another way,
// or where it is not known whether.
func (f *registerFlags) consent(before *istio.View, entry map[string]any, around policy.IstioFacts, gaps []cluster.Gap) error {
	name, _ := entry["name"].(string)
	if f.replace || !slices.ContainsFunc(before.Authorizers, func(one istio.Authorizer) bool { return one.Name == name }) {
		return nil
	}
	if slices.ContainsFunc(gaps, func(gap cluster.Gap) bool { return gap.Kind == apirule.Kind }) {
		return fmt.Errorf("the authorizer %q is registered already with other content, and it is not known which APIRules use it, because you may not list them; choose another name, or give --replace", bound.Text(name))
	}
	users := around.Users(name)
	if len(users) == 0 {
		return nil
	}
	return fmt.Errorf("the authorizer %q is registered already with other content, and APIRules use it: %s; choose another name, or give --replace to change who decides about their requests", bound.Text(name), bound.List(users))
}

// activeIstio returns the Istio CR that the module reconciles.
func activeIstio(ctx context.Context, client dynamic.Interface) (*unstructured.Unstructured, error) {
	list, err := client.Resource(istios()).Namespace(istio.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the Istio CRs: %w", err)
	}
	views := make([]istio.View, 0, len(list.Items))
	for _, item := range list.Items {
		views = append(views, istio.Parse(item.Object))
	}
	active, found := istio.Active(views)
	if !found {
		return nil, errors.New("there is no Istio CR in " + istio.Namespace + "; add Kyma's Istio module first")
	}
	at := slices.IndexFunc(list.Items, func(item unstructured.Unstructured) bool { return item.GetName() == active.Name })
	return &list.Items[at], nil
}

func istios() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: istio.Group, Version: istio.Version, Resource: istio.Resource}
}
