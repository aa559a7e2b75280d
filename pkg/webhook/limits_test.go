// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// However many clients take all they can, the next one gets something.
func TestAClientGetsHalfOfWhatTheOthersLeave(t *testing.T) {
	p := &pool{size: 1 << 20, by: map[string]int64{}}
	for i := range 5 {
		client, taken := fmt.Sprintf("10.0.0.%d", i), int64(0)
		for p.take(client, 1<<10) {
			taken += 1 << 10
		}
		assert.Equal(t, int64(1<<20)>>(i+1), taken, client)
	}
	assert.True(t, p.take("10.0.0.9", 16<<10))
	p.give("10.0.0.9", 16<<10)
	for i := range 5 {
		p.give(fmt.Sprintf("10.0.0.%d", i), int64(1<<20)>>(i+1))
	}
	assert.Zero(t, p.used)
	assert.Empty(t, p.by)
}

func TestTheLargestBodyHasRoom(t *testing.T) {
	for _, memory := range []int64{0, 90 << 20, 230 << 20, 1 << 40} {
		limits := NewLimits(memory)
		require.True(t, limits.takeBody("a", maxBody), memory)
		require.NoError(t, limits.takeValues(t.Context(), maxValues), memory)
	}
}

func TestCountValues(t *testing.T) {
	cases := map[string]int64{
		``:                      1,
		`7`:                     1,
		`[]`:                    2,
		`[1,2,3]`:               4,
		`{"a":1,"b":{"c":[]}}`:  8,
		`{"a":"[,{\"],","b":1}`: 5,
		`"\\",1`:                2,
		`"unfinished,,,,`:       1,
		`"\`:                    1,
	}
	for text, want := range cases {
		assert.Equal(t, want, countValues([]byte(text)), text)
	}
}

// FuzzCountValues: there are never more values than are counted.
func FuzzCountValues(f *testing.F) {
	for _, text := range []string{`{"a":[1,{"b":null}],"c":"\"{[,"}`, `[[[[]]]]`, `"\\"`, ` { } `, strings.Repeat("[", 100)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		counted := countValues(text)
		var value any
		if json.Unmarshal(text, &value) == nil {
			require.GreaterOrEqual(t, counted, valuesIn(value))
		}
	})
}

func valuesIn(value any) int64 {
	count := int64(1)
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			count += valuesIn(element)
		}
	case map[string]any:
		for _, element := range value {
			count += valuesIn(element)
		}
	}
	return count
}
