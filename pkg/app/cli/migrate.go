// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/migrate"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

type migrateFlags struct {
	options migrate.Options
	strict  bool
}

func newMigrate(streams Streams) *cobra.Command {
	flags := &migrateFlags{options: migrate.Options{Excluded: policy.SystemNamespaces(), Default: policy.DefaultAuthorizer}}
	cmd := &cobra.Command{
		Use:   "migrate FILE|DIRECTORY|- ...",
		Short: "Turn v1beta1 APIRules and ingress-nginx Ingresses into annotated v2 APIRules",
		Long: `Turn APIRules v1beta1 and v1alpha1, and Ingresses of ingress-nginx that have an
auth-url, into APIRules v2 that are annotated for injection.

Nobody gets in who did not before. The rules of a host are compared before and
after as a whole. If a request would be let in that was not, none of them is
migrated, and a note says which request that is. Give all objects at once: what has
the same host or workload belongs together, and Services give the numbers of named
ports. Other objects are passed over.

The result begins with the steps to take, as comments. What is lost or has to be
done is a comment above each APIRule, and a line on standard error.

Exit code 1 means that something was not migrated, or, with --strict, that
something was lost; 2 that an argument or a manifest could not be read, or that
there was nothing to migrate.`,
		Example: `  kubectl get apirules -A -o yaml | kubectl extauth migrate - > apirules.yaml
  kubectl extauth migrate ingress.yaml service.yaml --authorizers corp | kubectl extauth lint -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd.Context(), args, streams)
		},
	}
	cmd.Flags().StringVar(&flags.options.Gateway, "gateway", "kyma-system/kyma-gateway", "the `gateway` of what was an Ingress, as namespace/name")
	cmd.Flags().StringSliceVar(&flags.options.Authorizers, "authorizers", nil, "the `authorizers` to name in the annotation; default: the webhook's choice")
	cmd.Flags().StringVarP(&flags.options.Namespace, "namespace", "n", "default", "the `namespace` of objects that name none")
	cmd.Flags().BoolVar(&flags.options.Partial, "partial", false, "leave rules in doubt to the authorizer, or leave them out, instead of refusing the APIRule")
	cmd.Flags().BoolVar(&flags.options.AcceptMoreOpen, "accept-more-open", false, "migrate Ingresses although restrictions of them are lost")
	cmd.Flags().BoolVar(&flags.strict, "strict", false, "exit with 1 if something was lost")
	return cmd
}

func (f *migrateFlags) run(ctx context.Context, args []string, streams Streams) error {
	files, err := manifest.Find(args, streams.In)
	if err != nil {
		return exit.UsageError(err)
	}
	defer func() { _ = files.Close() }()
	sources, unreadable, err := readSources(ctx, files.List, streams.Err)
	if err != nil {
		return err
	}
	values := make([]map[string]any, 0, len(sources))
	for _, source := range sources {
		values = append(values, source.object.Value)
	}
	outcome := migrate.Objects(values, f.options)
	for _, result := range outcome.Results {
		for _, note := range result.Notes {
			source := sources[note.Source]
			line, _ := source.object.Locate(note.Path)
			printLine(streams.Err, fmt.Sprintf("%s:%d: %s: %s", source.file, line, note.Path, note.Text))
		}
	}
	out, err := outcome.YAML()
	if err != nil {
		return err
	}
	if _, err := streams.Out.Write(out); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	if unreadable > 0 {
		return exit.UsageError(fmt.Errorf("%s could not be read, see above", count(unreadable, "document", "documents")))
	}
	return f.verdict(outcome, args)
}

// verdict turns what was said into an exit code.
func (f *migrateFlags) verdict(outcome migrate.Outcome, args []string) error {
	refused, lost := outcome.Count()
	notMigrated := count(refused, "object was", "objects were") + " not migrated, see above"
	switch {
	case refused > 0 && outcome.APIRules() == 0:
		return fmt.Errorf("nothing was written: %s", notMigrated)
	case refused > 0:
		return errors.New(notMigrated)
	case len(outcome.Results) == 0:
		return exit.UsageError(fmt.Errorf("nothing to migrate in %s: neither APIRules nor Ingresses", strings.Join(args, ", ")))
	case outcome.APIRules() == 0 && !outcome.HasMigrated():
		return exit.UsageError(fmt.Errorf("nothing to migrate in %s, see above", strings.Join(args, ", ")))
	case f.strict && lost > 0:
		return fmt.Errorf("%s lost, see above", count(lost, "setting was", "settings were"))
	}
	return nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// source is an object to migrate and where it stands.
type source struct {
	file   string
	object manifest.Object
}

// readSources reads the objects that matter. It says what cannot be read and goes
// on; the error is one of the context.
func readSources(ctx context.Context, files []manifest.File, stderr io.Writer) (sources []source, unreadable int, err error) {
	keep := func(file manifest.File, object manifest.Object) error {
		if migrate.Relevant(object.Value) {
			sources = append(sources, source{file.Name, object})
		}
		return nil
	}
	skip := func(err error) error {
		unreadable++
		printLine(stderr, err.Error())
		return nil
	}
	for _, file := range files {
		if file.Patch {
			printLine(stderr, file.Name+": passed over, because a kustomization uses it as a patch; migrate what \"kubectl kustomize\" prints")
		}
	}
	err = objects(ctx, files, keep, skip)
	return sources, unreadable, err
}

// objects calls use for every object of files, and unreadable with an error that
// names the file for each document that cannot be read. Patches of kustomize are
// parts of objects and are passed over. It ends with the first error that one of
// them returns, or that of the context.
func objects(ctx context.Context, files []manifest.File, use func(manifest.File, manifest.Object) error, unreadable func(error) error) error {
	for _, file := range files {
		if file.Patch {
			continue
		}
		for document, err := range file.Documents() {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			var objects []manifest.Object
			if err == nil {
				objects, err = document.Parse()
			}
			if err != nil {
				err = unreadable(fmt.Errorf("reading %s: %w", file.Name, err))
			}
			if err != nil {
				return err
			}
			for _, object := range objects {
				if err := use(file, object); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
