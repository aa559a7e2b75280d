// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/migrate"
)

type migrateFlags struct {
	gateway     string
	authorizers []string
	strict      bool
}

func newMigrate(streams Streams) *cobra.Command {
	flags := &migrateFlags{}
	cmd := &cobra.Command{
		Use:   "migrate FILE|DIRECTORY|- ...",
		Short: "Turn v1beta1 APIRules and ingress-nginx Ingresses into annotated v2 APIRules",
		Long: `Turn APIRules v1beta1, and Ingresses of ingress-nginx that have an auth-url, into
APIRules v2 that are annotated for injection.

Nothing becomes more open than it was: what has no form in v2 is left out, and each
such loss is said in a comment above the result and on standard error. Read them.
Other objects are passed over. Services in the same input give the numbers of named
ports.`,
		Example: `  kubectl get apirules.v1beta1.gateway.kyma-project.io -A -o yaml | kubectl extauth migrate - > apirules.yaml
  kubectl extauth migrate ingress.yaml service.yaml --authorizers corp | kubectl extauth lint -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd.Context(), args, streams)
		},
	}
	cmd.Flags().StringVar(&flags.gateway, "gateway", "kyma-system/kyma-gateway", "the `gateway` of what was an Ingress, as namespace/name")
	cmd.Flags().StringSliceVar(&flags.authorizers, "authorizers", nil, "the `authorizers` to name in the annotation; default: the webhook's choice")
	cmd.Flags().BoolVar(&flags.strict, "strict", false, "exit with 1 if something was not carried over")
	return cmd
}

func (f *migrateFlags) run(ctx context.Context, args []string, streams Streams) error {
	files, err := manifest.Find(args, streams.In)
	if err != nil {
		return exit.UsageError(err)
	}
	defer func() { _ = files.Close() }()
	ports, err := namedPorts(ctx, files.List)
	if err != nil {
		return err
	}
	options := migrate.Options{Gateway: f.gateway, Authorizers: f.authorizers, Port: ports.number}
	notes, results := 0, 0
	err = objects(ctx, files.List, func(file manifest.File, object manifest.Object) error {
		result, known := migrate.Object(object.Value, options)
		if !known {
			return nil
		}
		notes += len(result.Notes)
		for _, note := range result.Notes {
			line, _ := object.Locate(note.Path)
			_, _ = fmt.Fprintf(streams.Err, "%s:%d: %s: %s\n", file.Name, line, note.Path, note.Text)
		}
		for _, one := range result.APIRules {
			text, err := document(one, result.Notes)
			if err != nil {
				return err
			}
			if _, err := streams.Out.Write(text); err != nil {
				return fmt.Errorf("printing: %w", err)
			}
			results++
		}
		return nil
	})
	if err != nil {
		return err
	}
	if results == 0 {
		return exit.UsageError(fmt.Errorf("nothing to migrate in %s: no APIRule v1beta1 and no Ingress with an auth-url", strings.Join(args, ", ")))
	}
	if f.strict && notes > 0 {
		return fmt.Errorf("%s not carried over as they were", count(notes, "thing was", "things were"))
	}
	return nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// document renders an APIRule below what was not carried over.
func document(object map[string]any, notes []migrate.Note) ([]byte, error) {
	raw, err := yaml.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encoding an APIRule: %w", err)
	}
	var text strings.Builder
	text.WriteString("---\n")
	for _, note := range notes {
		fmt.Fprintf(&text, "# %s: %s\n", note.Path, strings.ReplaceAll(note.Text, "\n", " "))
	}
	text.Write(raw)
	return []byte(text.String()), nil
}

// objects calls use for every object of files. What cannot be read is an error.
func objects(ctx context.Context, files []manifest.File, use func(manifest.File, manifest.Object) error) error {
	for _, file := range files {
		for document, err := range file.Documents() {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				return exit.UsageError(fmt.Errorf("reading %s: %w", file.Name, err))
			}
			objects, err := document.Parse()
			if err != nil {
				return exit.UsageError(fmt.Errorf("reading %s: %w", file.Name, err))
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

// ports maps "namespace/service/port" to a number.
type ports map[string]int64

func (p ports) number(namespace, service, port string) (int64, bool) {
	number, known := p[namespace+"/"+service+"/"+port]
	return number, known
}

func namedPorts(ctx context.Context, files []manifest.File) (ports, error) {
	found := ports{}
	err := objects(ctx, files, func(_ manifest.File, object manifest.Object) error {
		if object.Value["kind"] != "Service" || object.Value["apiVersion"] != "v1" {
			return nil
		}
		metadata, _ := object.Value["metadata"].(map[string]any)
		namespace, _ := metadata["namespace"].(string)
		spec, _ := object.Value["spec"].(map[string]any)
		entries, _ := spec["ports"].([]any)
		for _, entry := range entries {
			port, _ := entry.(map[string]any)
			if number, ok := port["port"].(int64); ok {
				found[fmt.Sprintf("%s/%v/%v", namespace, metadata["name"], port["name"])] = number
			}
		}
		return nil
	})
	return found, err
}
