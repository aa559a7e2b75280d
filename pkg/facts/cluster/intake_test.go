// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// recorded is an intake that writes down what it tells.
func recorded() (*intake[*metav1.PartialObjectMetadata, string], func() []string) {
	var told []string
	into := &intake[*metav1.PartialObjectMetadata, string]{
		shrink: func(object *metav1.PartialObjectMetadata) string { return object.Labels["a"] },
		set: func(name types.NamespacedName, value string) {
			told = append(told, fmt.Sprintf("set %s %s", name, value))
		},
		remove:   func(name types.NamespacedName) { told = append(told, "remove "+name.String()) },
		replaced: func() { told = append(told, "replaced") },
		known:    map[types.NamespacedName]struct{}{},
	}
	return into, func() []string {
		defer func() { told = nil }()
		return slices.Clone(told)
	}
}

func partial(name, label string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"a": label}}}
}

func TestIntakeTellsWhatIsThereAndWhatIsGone(t *testing.T) {
	into, told := recorded()
	shrunk, err := into.Transformer()(partial("b", "2"))
	require.NoError(t, err)

	require.NoError(t, into.Replace([]any{partial("a", "1"), shrunk}, "7"), "whole objects come of a plain list, shrunk ones of a streamed one")
	assert.Equal(t, []string{"set shop/a 1", "set shop/b 2", "replaced"}, told())

	require.NoError(t, into.Update(partial("a", "3")))
	require.NoError(t, into.Add(partial("c", "4")))
	require.NoError(t, into.Delete(partial("b", "2")))
	require.NoError(t, into.Resync())
	assert.Equal(t, []string{"set shop/a 3", "set shop/c 4", "remove shop/b"}, told())

	require.NoError(t, into.Replace([]any{partial("c", "5")}, "9"))
	assert.Equal(t, []string{"set shop/c 5", "remove shop/a", "replaced"}, told(), "what is gone since the watch broke is removed, and what was gone before is not again")
}

func TestIntakeRefusesWhatItDoesNotKnow(t *testing.T) {
	into, told := recorded()
	assert.ErrorContains(t, into.Add("text"), "unexpected type string")
	assert.ErrorContains(t, into.Delete(nil), "unexpected type")
	assert.ErrorContains(t, into.Replace([]any{7}, "1"), "unexpected type int")
	assert.Empty(t, told())
}
