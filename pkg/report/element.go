// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"maps"
	"slices"

	"golang.org/x/net/html"
)

// attributes of an element; one that is "" is left out.
type attributes map[string]string

// element makes one of HTML. Its children are elements, and texts, which html.Render
// escapes like the attributes.
func element(name string, of attributes, children ...any) *html.Node {
	made := &html.Node{Type: html.ElementNode, Data: name}
	for _, key := range slices.Sorted(maps.Keys(of)) {
		if of[key] != "" {
			made.Attr = append(made.Attr, html.Attribute{Key: key, Val: of[key]})
		}
	}
	add(made, children...)
	return made
}

func add(to *html.Node, children ...any) {
	for _, child := range children {
		switch child := child.(type) {
		case *html.Node:
			to.AppendChild(child)
		case string:
			to.AppendChild(&html.Node{Type: html.TextNode, Data: child})
		}
	}
}

// places are the elements of a document that have an id.
type places map[string]*html.Node

func (p places) collect(from *html.Node) {
	for _, one := range from.Attr {
		if one.Key == "id" {
			p[one.Val] = from
		}
	}
	for child := range from.ChildNodes() {
		p.collect(child)
	}
}

// fill adds children to the element of an id.
func (p places) fill(id string, children ...any) { add(p[id], children...) }

// fillBody adds a row to the body of a table.
func (p places) fillBody(id string, row *html.Node) {
	for child := range p[id].ChildNodes() {
		if child.Data == "tbody" {
			add(child, row, "\n")
			return
		}
	}
}

// replace puts a text in the place of everything that is in an element.
func (p places) replace(id, text string) {
	for p[id].FirstChild != nil {
		p[id].RemoveChild(p[id].FirstChild)
	}
	add(p[id], text)
}

// keep removes the element of an id unless it is wanted.
func (p places) keep(id string, wanted bool) {
	if one := p[id]; !wanted && one.Parent != nil {
		one.Parent.RemoveChild(one)
	}
}
