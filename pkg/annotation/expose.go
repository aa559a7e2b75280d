// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Exposure is what the annotations of a Service ask to be exposed.
type Exposure struct {
	// Host is a short host, a full one, or one that begins with "*.".
	Host string
	// Port is the port of the Service; 0 means its only one.
	Port int32
	// Path is the path of the only rule.
	Path string
	// Methods are the HTTP methods, in the author's order. Never empty.
	Methods []string
	// Gateway is namespace/name; "" means the configured one.
	Gateway string
}

// Methods returns the HTTP methods that the CRD of APIRules knows. The caller
// owns the slice.
func Methods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
}

// ParseExposure reads what the annotations of a Service ask to be exposed; nil
// if they ask for nothing. A value that is malformed, and a companion without
// [Expose], yield errors with the path of the annotation, and nil.
func ParseExposure(annotations map[string]string) (*Exposure, field.ErrorList) {
	exposure := &Exposure{Path: "/*", Methods: Methods()}
	host, asked := annotations[Expose]
	var errs field.ErrorList
	for _, one := range []struct {
		key  string
		read func(path *field.Path, value string) *field.Error
	}{
		{ExposeGateway, exposure.readGateway},
		{ExposeMethods, exposure.readMethods},
		{ExposePath, exposure.readPath},
		{ExposePort, exposure.readPort},
	} {
		value, present := annotations[one.key]
		switch {
		case present && !asked:
			errs = append(errs, invalid(Path(one.key), value, fmt.Sprintf("means nothing without %s", Expose)))
		case present:
			errs = appendError(errs, one.read(Path(one.key), value))
		}
	}
	if asked {
		errs = appendError(errs, exposure.readHost(Path(Expose), host))
	}
	if len(errs) > 0 || !asked {
		return nil, slices.DeleteFunc(errs, func(err *field.Error) bool {
			value, _ := err.BadValue.(string)
			return unquoted(value) != "" // [Parse] says that
		})
	}
	return exposure, nil
}

func (e *Exposure) readHost(path *field.Path, value string) *field.Error {
	e.Host = value
	name := strings.TrimPrefix(value, "*.")
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return invalid(path, value, `must be a host, for example "shop" under the domain of the gateway, or "shop.example.com"`)
	}
	return nil
}

func (e *Exposure) readPort(path *field.Path, value string) *field.Error {
	port, err := strconv.ParseInt(value, 10, 32)
	if err != nil || port < 1 || port > 65535 {
		return invalid(path, value, "must be the number of a port, between 1 and 65535")
	}
	e.Port = int32(port)
	return nil
}

// exposedPath is what the CRD of APIRules takes as the path of a rule.
var exposedPath = regexp.MustCompile(`^((/([A-Za-z0-9-._~!$&'()+,;=:@]|%[0-9a-fA-F]{2})*)|(/\{\*{1,2}\}))+$|^/\*$`)

func (e *Exposure) readPath(path *field.Path, value string) *field.Error {
	if !exposedPath.MatchString(value) {
		return invalid(path, value, `must be the path of an APIRule, for example "/*" or "/api/{**}"`)
	}
	e.Path = value
	return nil
}

func (e *Exposure) readMethods(path *field.Path, value string) *field.Error {
	e.Methods = nil
	for entry := range strings.SplitSeq(value, ",") {
		method := strings.TrimSpace(entry)
		if !slices.Contains(Methods(), method) || slices.Contains(e.Methods, method) {
			return invalid(path, value, "must be HTTP methods in capitals, each once, for example \"GET,POST\"")
		}
		e.Methods = append(e.Methods, method)
	}
	return nil
}

// gatewayName is what the CRD of APIRules takes as spec.gateway.
var gatewayName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// IsGatewayName is true if the CRD of APIRules takes name as spec.gateway.
func IsGatewayName(name string) bool {
	return gatewayName.MatchString(name)
}

func (e *Exposure) readGateway(path *field.Path, value string) *field.Error {
	if !IsGatewayName(value) {
		return invalid(path, value, "must be namespace/name, for example kyma-system/kyma-gateway")
	}
	e.Gateway = value
	return nil
}
