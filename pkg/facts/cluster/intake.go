// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// intake is what a reflector takes for its store. It keeps the names of the
// objects, to see which are gone after a new list, and gives their values away.
// A reflector uses it from one goroutine.
type intake[O metav1.Object, T any] struct {
	shrink   func(O) T
	set      func(types.NamespacedName, T)
	remove   func(types.NamespacedName)
	replaced func()
	known    map[types.NamespacedName]struct{}
}

var _ cache.TransformingStore = &intake[metav1.Object, int]{}

// slim is what is left of an object until the list that it is part of is
// complete.
type slim[T any] struct {
	types.NamespacedName
	value T
}

// GetObjectMeta tells the reflector the key of the object.
func (s *slim[T]) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name}
}

// Transformer has the reflector shrink each object of a list as it comes, so
// that there is never a whole list of whole objects.
func (i *intake[O, T]) Transformer() cache.TransformFunc {
	return func(object any) (any, error) { return i.slim(object) }
}

func (i *intake[O, T]) slim(object any) (*slim[T], error) {
	switch object := object.(type) {
	case *slim[T]:
		return object, nil
	case O:
		name := types.NamespacedName{Namespace: shared(object.GetNamespace()), Name: object.GetName()}
		return &slim[T]{name, i.shrink(object)}, nil
	}
	return nil, fmt.Errorf("taking an object from a watch: unexpected type %T", object)
}

// Add takes an object that is new, or that changed.
func (i *intake[O, T]) Add(object any) error {
	one, err := i.slim(object)
	if err != nil {
		return err
	}
	i.known[one.NamespacedName] = struct{}{}
	i.set(one.NamespacedName, one.value)
	return nil
}

// Update does what Add does.
func (i *intake[O, T]) Update(object any) error {
	return i.Add(object)
}

// Delete takes the last state of an object that is gone.
func (i *intake[O, T]) Delete(object any) error {
	one, err := i.slim(object)
	if err != nil {
		return err
	}
	i.drop(one.NamespacedName)
	return nil
}

func (i *intake[O, T]) drop(name types.NamespacedName) {
	delete(i.known, name)
	i.remove(name)
}

// Replace takes all objects that there are. What is not among them is gone.
func (i *intake[O, T]) Replace(objects []any, _ string) error {
	gone := i.known
	i.known = make(map[types.NamespacedName]struct{}, len(objects))
	for at, object := range objects {
		if err := i.Add(object); err != nil {
			return err
		}
		objects[at] = nil // the list is ours, and memory is scarcest just now
	}
	for name := range gone {
		if _, still := i.known[name]; !still {
			i.drop(name)
		}
	}
	i.replaced()
	return nil
}

// Resync does nothing: the world has all that it was told.
func (i *intake[O, T]) Resync() error {
	return nil
}
