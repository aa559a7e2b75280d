// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"maps"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// changes are what becomes of one mapping.
type changes struct {
	mapping *yaml.Node
	// set has the values of keys, and order the order in which they are set.
	set   map[string]any
	order []string
	// gone are keys that are taken away.
	gone map[string]bool
}

// moved stands for the value that an entry has now.
type moved struct{ key, value *yaml.Node }

// plan sorts the operations of a patch by the mapping that they change.
type plan struct {
	root    *yaml.Node
	pointer string
	all     []*changes
	by      map[*yaml.Node]*changes
	// made are objects that did not exist before, by their pointers.
	made map[string]map[string]any
}

func planOf(root *yaml.Node, patch Patch) ([]*changes, error) {
	p := &plan{root: root, pointer: patch.Pointer, by: map[*yaml.Node]*changes{}, made: map[string]map[string]any{}}
	for _, operation := range patch.Operations {
		if err := p.add(operation); err != nil {
			return nil, err
		}
	}
	return p.all, nil
}

func (p *plan) add(operation apirule.Operation) error {
	switch operation.Op {
	case "remove":
		_, err := p.take(operation.Path)
		return err
	case "move":
		entry, err := p.take(operation.From)
		if err != nil {
			return err
		}
		return p.put(operation.Path, entry)
	}
	return p.put(operation.Path, operation.Value)
}

// take takes an entry away and returns it.
func (p *plan) take(path string) (moved, error) {
	parent, key, err := parentOf(p.root, p.pointer+path)
	if err != nil {
		return moved{}, err
	}
	i := keyIndex(parent, key)
	if i < 0 {
		return moved{}, errUnusual
	}
	p.of(parent).gone[key] = true
	return moved{parent.Content[i], parent.Content[i+1]}, nil
}

func (p *plan) put(path string, value any) error {
	last := strings.LastIndexByte(path, '/')
	if object := p.made[path[:last]]; object != nil {
		object[path[last+1:]] = value
		return nil
	}
	parent, key, err := parentOf(p.root, p.pointer+path)
	if err != nil {
		return err
	}
	if object, ok := value.(map[string]any); ok {
		object = maps.Clone(object)
		p.made[path], value = object, object
	}
	of := p.of(parent)
	of.set[key] = value
	of.order = append(of.order, key)
	return nil
}

func (p *plan) of(mapping *yaml.Node) *changes {
	if one, known := p.by[mapping]; known {
		return one
	}
	one := &changes{mapping: mapping, set: map[string]any{}, gone: map[string]bool{}}
	p.all, p.by[mapping] = append(p.all, one), one
	return one
}
