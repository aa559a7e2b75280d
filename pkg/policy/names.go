// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import "strings"

// foreignObject returns an object, "APIRule shop/cart", as [Finding.Foreign] if it is
// in another namespace than the one that is written to.
func foreignObject(object, namespace string) []string {
	_, name, _ := strings.Cut(object, " ")
	if of, _, _ := strings.Cut(name, "/"); of == namespace {
		return nil
	}
	return []string{object}
}

// Unnamed returns the finding without the names of objects of other namespaces, for
// whoever may not know them: "an APIRule of another namespace".
func (f Finding) Unnamed() Finding {
	if len(f.Foreign) == 0 {
		return f
	}
	err := *f.Err
	for _, object := range f.Foreign {
		somebody := Unnamed(object)
		err.Detail, f.Brief = strings.ReplaceAll(err.Detail, object, somebody), strings.ReplaceAll(f.Brief, object, somebody)
	}
	f.Err = &err
	return f
}

// Unnamed returns an object, "APIRule shop/cart", without its name.
func Unnamed(object string) string {
	kind, _, _ := strings.Cut(object, " ")
	article := "a "
	if strings.HasPrefix(kind, "A") {
		article = "an "
	}
	return article + kind + " of another namespace"
}
