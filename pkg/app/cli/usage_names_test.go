// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestNamesIn(t *testing.T) {
	typed, err := namesIn(&corev1.NamespaceList{Items: []corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, {ObjectMeta: metav1.ObjectMeta{Name: "bank"}}}}, nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"shop", "bank"}, typed, "in the order of the list")

	untyped, err := namesIn(&unstructured.UnstructuredList{Items: []unstructured.Unstructured{
		{Object: map[string]any{"metadata": map[string]any{"name": "cart"}}},
	}}, nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"cart"}, untyped)

	none, err := namesIn(&corev1.SecretList{}, nil)
	require.NoError(t, err)
	assert.Empty(t, none)

	_, err = namesIn[*corev1.SecretList](nil, errors.New("forbidden"))
	assert.EqualError(t, err, "forbidden")
}
