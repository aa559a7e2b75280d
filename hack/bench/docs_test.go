// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWithTable(t *testing.T) {
	page := "before\n" + tableBegins + "old\n" + tableEnds + "after\n"
	got, err := withTable(page, "new\n")
	require.NoError(t, err)
	assert.Equal(t, "before\n"+tableBegins+"\nnew\n\n"+tableEnds+"after\n", got)

	again, err := withTable(got, "new\n")
	require.NoError(t, err)
	assert.Equal(t, got, again)

	_, err = withTable("no place", "new\n")
	assert.ErrorContains(t, err, "there is no place for the table")
}
