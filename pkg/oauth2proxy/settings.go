// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oauth2proxy

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// envPrefix is before a flag's name in the environment.
const envPrefix = "OAUTH2_PROXY_"

// Settings are the flags of a proxy, without the dashes, with their values. A list
// may have several.
type Settings map[string][]string

// Parse reads a container's arguments and environment. A flag wins over the
// environment, as it does for the proxy.
func Parse(args []string, env map[string]string) Settings {
	settings := Settings{}
	for i, arg := range args {
		name, value, assigned := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !strings.HasPrefix(arg, "-") {
			continue
		}
		if !assigned {
			value = "true"
			if i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				value = args[i+1]
			}
		}
		settings[name] = append(settings[name], strings.Split(value, ",")...)
	}
	for _, variable := range slices.Sorted(maps.Keys(env)) {
		name, ok := strings.CutPrefix(variable, envPrefix)
		if !ok {
			continue
		}
		name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		for _, spelling := range []string{name, strings.TrimSuffix(name, "s")} { // lists have the plural there
			if _, given := settings[spelling]; !given {
				settings[spelling] = strings.Split(env[variable], ",")
			}
		}
	}
	return settings
}

// On says whether a boolean flag is set.
func (s Settings) On(flag string) bool {
	values := s[flag]
	if len(values) == 0 {
		return false
	}
	on, err := strconv.ParseBool(values[len(values)-1])
	return on && err == nil
}

// Has says whether a flag has a value.
func (s Settings) Has(flag string) bool {
	return slices.ContainsFunc(s[flag], func(value string) bool { return value != "" })
}

// any returns the first of the flags that has a value, as it is written.
func (s Settings) any(flags ...string) string {
	for _, flag := range flags {
		if s.Has(flag) {
			return "--" + flag + "=" + strings.Join(s[flag], ",")
		}
	}
	return ""
}
