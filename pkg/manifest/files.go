// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Stdin is the argument that stands for standard input.
const Stdin = "-"

// File is a stream of documents that can be read more than once.
type File struct {
	// Name is how the user named it, "stdin" for standard input.
	Name string
	// Patch is true for a file that a kustomization beside the files uses as a
	// patch: what is in it is a part of an object.
	Patch bool

	path string
}

// Files are the manifests that a user named.
type Files struct {
	List []File

	by      Finder
	spooled []string
}

// Find returns the files that arguments name: files of any name, directories
// with everything in them that ends in .yaml, .yml or .json, in the order of
// their names and without hidden directories, and "-" for stdin. Standard input
// is kept in a temporary file, because it can be read only once; Close removes
// it. A name that does not exist and a directory without manifests are errors:
// a check that looked at nothing must not look like one that found nothing.
func Find(arguments []string, stdin io.Reader) (*Files, error) {
	return Finder{}.Find(arguments, stdin)
}

// Finder finds files with choices.
type Finder struct {
	// Exclude are patterns of paths that are left out, as named or below what is
	// named; "**" stands for any number of folders.
	Exclude []string
	// AllowEmpty is true if a directory without manifests is no error.
	AllowEmpty bool
}

// Find is [Find] with the choices of the Finder.
func (by Finder) Find(arguments []string, stdin io.Reader) (*Files, error) {
	files := &Files{by: by}
	for _, pattern := range by.Exclude {
		if !doublestar.ValidatePattern(pattern) {
			return nil, fmt.Errorf("looking for manifests: %q is no pattern of paths; write for example \"**/templates/**\"", pattern)
		}
	}
	for _, argument := range arguments {
		if err := files.add(argument, stdin); err != nil {
			return nil, errors.Join(err, files.Close())
		}
	}
	files.markPatches()
	return files, nil
}

// excluded is true for a path that a pattern matches, or whose name or a folder of
// it does.
func (by Finder) excluded(path string) bool {
	path = strings.TrimPrefix(filepath.ToSlash(filepath.Clean(path)), "./")
	for _, pattern := range by.Exclude {
		pattern = strings.TrimPrefix(pattern, "./")
		for _, form := range []string{pattern, "**/" + pattern, strings.TrimSuffix(pattern, "/") + "/**", "**/" + strings.TrimSuffix(pattern, "/") + "/**"} {
			if matches, err := doublestar.Match(form, path); err == nil && matches {
				return true
			}
		}
	}
	return false
}

// Close removes what Find left behind.
func (f *Files) Close() error {
	var problems []error
	for _, path := range f.spooled {
		problems = append(problems, os.Remove(path))
	}
	f.spooled = nil
	return errors.Join(problems...)
}

func (f *Files) add(argument string, stdin io.Reader) error {
	if argument == Stdin {
		return f.spool(stdin)
	}
	info, err := os.Stat(argument)
	if err != nil {
		return fmt.Errorf("looking for manifests: %w", err)
	}
	if !info.IsDir() {
		f.append(argument)
		return nil
	}
	before := len(f.List)
	err = filepath.WalkDir(argument, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return f.enter(argument, path)
		case slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)):
			f.append(path)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking for manifests: %w", err)
	}
	if len(f.List) == before && !f.by.AllowEmpty {
		return fmt.Errorf("looking for manifests: nothing in %s ends in .yaml, .yml or .json", argument)
	}
	return nil
}

// enter says whether to look into a folder below the one that was named.
func (f *Files) enter(named, path string) error {
	if path != named && (strings.HasPrefix(filepath.Base(path), ".") || f.by.excluded(path)) {
		return fs.SkipDir
	}
	return nil
}

func (f *Files) append(path string) {
	if f.by.excluded(path) {
		return
	}
	file := File{Name: filepath.ToSlash(path), path: path}
	if !slices.Contains(f.List[max(0, len(f.List)-1):], file) {
		f.List = append(f.List, file)
	}
}

func (f *Files) spool(stdin io.Reader) error {
	file, err := os.CreateTemp("", "extauth-*.yaml")
	if err != nil {
		return fmt.Errorf("keeping standard input: %w", err)
	}
	f.spooled = append(f.spooled, file.Name())
	f.List = append(f.List, File{Name: "stdin", path: file.Name()})
	_, err = io.Copy(file, stdin)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("keeping standard input: %w", err)
	}
	return nil
}

// Documents yields the documents of the file, see [Split]. A file that cannot be
// opened yields one error.
func (f File) Documents() iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		file, err := os.Open(f.path)
		if err != nil {
			yield(Document{Line: 1}, fmt.Errorf("opening the file: %w", err))
			return
		}
		defer func() { _ = file.Close() }()
		for document, err := range Split(file) {
			if !yield(document, err) {
				return
			}
		}
	}
}

// Write replaces the content of the file, if it is one: standard input cannot be
// written. The mode stays, and a reader sees the old content or the new.
func (f File) Write(content []byte) error {
	if f.Name != filepath.ToSlash(f.path) {
		return fmt.Errorf("writing %s: only a file can be changed in place", f.Name)
	}
	target, err := filepath.EvalSymlinks(f.path)
	if err != nil {
		return fmt.Errorf("writing %s: %w", f.Name, err)
	}
	info, err := os.Stat(target)
	if err != nil {
		return fmt.Errorf("writing %s: %w", f.Name, err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(target), ".extauth-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", f.Name, err)
	}
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Chmod(info.Mode()), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), target)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", f.Name, errors.Join(err, os.Remove(temporary.Name())))
	}
	return nil
}
