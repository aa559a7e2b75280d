// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command licenses insists that every module which is compiled into what ships
// has a licence that we can keep: one of a short list, recognized by its text. A
// module whose licence is not recognized fails, so that a person looks.
//
// It has a Go module of its own, so that nothing of it is in the one that it
// looks at.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	classifier "github.com/google/licenseclassifier/v2"
	"github.com/google/licenseclassifier/v2/assets"
)

// shipped are the packages whose binaries we give away.
const shipped = "./cmd/..."

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	if err := run(root, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

func run(root string, out io.Writer) error {
	modules, err := compiled(root)
	if err != nil {
		return err
	}
	known, err := assets.DefaultClassifier()
	if err != nil {
		return fmt.Errorf("loading the texts of licences: %w", err)
	}
	var errs []error
	count := map[string]int{}
	for _, one := range modules {
		found, err := licensesOf(known, one.Dir)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", one.Path, err))
			continue
		}
		count[strings.Join(found, " and ")]++
	}
	if err := printCounts(out, count); err != nil {
		return err
	}
	return errors.Join(errs...)
}

func printCounts(out io.Writer, count map[string]int) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	var names []string
	for name := range count {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(count[b]-count[a], strings.Compare(a, b)) })
	for _, name := range names {
		fmt.Fprintf(table, "%d\t%s\n", count[name], name)
	}
	return table.Flush()
}

// module is a Go module as the go command tells of it.
type module struct {
	Path, Dir string
}

// compiled lists the modules of which a package is in what ships.
func compiled(root string) ([]module, error) {
	command := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}\t{{.Dir}}\t{{.Main}}{{end}}", shipped) //nolint:noctx // it ends
	command.Dir, command.Stderr = root, os.Stderr
	raw, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("listing what is compiled: %w", err)
	}
	seen := map[string]module{}
	for line := range strings.Lines(string(raw)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) == 3 && fields[2] == "false" {
			seen[fields[0]] = module{fields[0], fields[1]}
		}
	}
	if len(seen) == 0 {
		return nil, errors.New("nothing is compiled from other modules, which cannot be")
	}
	var all []module
	for _, one := range seen {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

// named are the files in which a licence is.
var named = regexp.MustCompile(`(?i)^(un)?(licen[sc]e|copying)([-._].*)?$`)

// licensesOf returns the licences of the module in a directory, sorted. One that
// we cannot keep is an error, and so is none.
func licensesOf(known *classifier.Classifier, directory string) ([]string, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, fmt.Errorf("looking for its licence: %w; go mod download fetches it", err)
	}
	var all []string
	for _, entry := range entries {
		// LICENSE.docs is for documents (opencontainers), which are in no binary.
		if entry.IsDir() || strings.HasSuffix(entry.Name(), ".docs") || !named.MatchString(entry.Name()) {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(directory, entry.Name()))
		if err != nil {
			return nil, err
		}
		found := recognize(known, raw)
		if len(found) == 0 {
			return nil, fmt.Errorf("%s is no licence that is known; read it, and add its text to hack/release/licenses if we can keep it", entry.Name())
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) == 0 {
		return nil, errors.New("there is no file with its licence")
	}
	for _, one := range all {
		if !slices.Contains(kept(), one) {
			return nil, fmt.Errorf("its licence is %s; we can keep %s", one, strings.Join(kept(), ", "))
		}
	}
	return all, nil
}

// kept are the licences, by their SPDX identifiers, whose conditions a binary under
// the Apache License 2.0 keeps by naming their authors. MPL-2.0 asks besides for
// the source of its own files, which we do not change.
func kept() []string {
	return []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "Unlicense"}
}

// recognize returns the licences whose texts are in a file. It may have several,
// for parts of a module.
func recognize(known *classifier.Classifier, raw []byte) []string {
	var found []string
	for _, match := range known.Match(raw).Matches {
		if match.MatchType == "License" {
			found = append(found, match.Name)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
