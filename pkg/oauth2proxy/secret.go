// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oauth2proxy

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// secretFlags are the settings that oauth2-proxy takes a secret in (7.15,
// pkg/apis/options). Those that name a file with one are not among them.
func secretFlags() []string {
	return []string{
		"client-secret", "cookie-secret", "basic-auth-password", "jwt-key", "signature-key", "github-token",
		"redis-password", "redis-sentinel-password",
	}
}

// chartSecrets are the values of the chart oauth2-proxy 10.7.0 that carry one, by
// their last part or the whole path.
func chartSecrets() []string {
	return []string{
		"config.clientID", "config.clientSecret", "config.cookieSecret", "config.google.serviceAccountJson",
		"htpasswdFile.entries", "sessionStorage.redis.password", "sessionStorage.redis.sentinel.password",
		"redis.auth.password", "redis.redisPassword", "redis-ha.redisPassword", "redis.password",
	}
}

// hashed is an entry of an htpasswd file.
var hashed = regexp.MustCompile(`(?m)^[^:\s]+:(\$2[aby]\$|\$apr1\$|\{SHA\})`)

// privateKey begins a PEM block that no value may have.
var privateKey = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`)

// reference is Kubernetes' way to say the value of another variable in an argument.
var reference = regexp.MustCompile(`^\$\([A-Za-z_][A-Za-z0-9_]*\)$`)

// assignment is a line of the proxy's configuration file, in TOML or YAML.
var assignment = regexp.MustCompile(`(?m)^\s*"?([A-Za-z][A-Za-z_-]*)"?\s*[=:]\s*\S`)

// SecretsIn returns where the values of the chart hold a credential, as dotted paths
// in order, and never what it is.
func SecretsIn(values map[string]any) []string {
	var at []string
	walk("", values, func(path string, value any) {
		if isSecret(path, value) {
			at = append(at, path)
		}
	})
	slices.Sort(at)
	return slices.Compact(at)
}

// walk calls visit with every leaf; a list's path has its indices.
func walk(path string, value any, visit func(string, any)) {
	switch value := value.(type) {
	case map[string]any:
		if name, ok := value["name"].(string); ok && value["value"] != nil {
			visit(path+"."+name, value["value"]) // a variable of the environment
		}
		for key, child := range value {
			walk(strings.TrimPrefix(path+"."+key, "."), child, visit)
		}
	case []any:
		for i, child := range value {
			walk(fmt.Sprintf("%s[%d]", path, i), child, visit)
		}
	default:
		visit(path, value)
	}
}

func isSecret(path string, value any) bool {
	text := fmt.Sprint(value)
	if value == nil || text == "" || reference.MatchString(text) {
		return false
	}
	if slices.Contains(chartSecrets(), strings.TrimRight(indices.ReplaceAllString(path, ""), ".")) {
		return true
	}
	name := path[strings.LastIndex(path, ".")+1:]
	return secretName(name) || secretText(text)
}

var (
	indices = regexp.MustCompile(`\[\d+\]`)
	// camel is where the alpha configuration and the chart begin a new word.
	camel = regexp.MustCompile(`([a-z])([A-Z])`)
)

// secretName knows a setting as a flag, as a variable and as a key of either file.
func secretName(name string) bool {
	name = indices.ReplaceAllString(name, "")
	name = camel.ReplaceAllString(name, "${1}_${2}")
	name = strings.TrimPrefix(strings.ToUpper(strings.ReplaceAll(name, "-", "_")), envPrefix)
	return slices.Contains(secretFlags(), strings.ToLower(strings.ReplaceAll(name, "_", "-")))
}

// secretText finds a secret in a text of any name: an argument, a configuration file,
// an htpasswd file, a private key, or a URL with a password.
func secretText(text string) bool {
	for word := range strings.FieldsSeq(text) {
		if secretArgument(word) || slices.ContainsFunc(strings.Split(word, ","), hasPassword) {
			return true
		}
	}
	for _, match := range assignment.FindAllStringSubmatch(text, -1) {
		if secretName(match[1]) {
			return true
		}
	}
	return hashed.MatchString(text) || privateKey.MatchString(text)
}

// secretArgument knows --flag=value, and --flag with the value after it.
func secretArgument(word string) bool {
	if !strings.HasPrefix(word, "-") {
		return false
	}
	flag, value, assigned := strings.Cut(strings.TrimLeft(word, "-"), "=")
	return secretName(flag) && (!assigned || value != "" && !reference.MatchString(value))
}

func hasPassword(address string) bool {
	parsed, err := url.Parse(strings.Trim(address, `"'`))
	if err != nil || parsed.User == nil {
		return false
	}
	_, given := parsed.User.Password()
	return given
}
