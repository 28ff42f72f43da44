// Package oapi is generated from openapi.yaml: the models, the strict server
// interface and the client. What is written by hand lives in package api.
//
//nolint:godoclint // the generated files bring a package comment, too
package oapi

import _ "embed"

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config models.yaml ../../openapi.yaml
//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config server.yaml ../../openapi.yaml
//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config client.yaml ../../openapi.yaml
//go:generate cp ../../openapi.yaml openapi.gen.yaml

// Contract is openapi.yaml: embedding reaches no parent folder, so generation
// leaves a copy here.
//
//go:embed openapi.gen.yaml
var Contract []byte
