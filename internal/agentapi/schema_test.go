package agentapi

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// schemas are the responses as section 3 of the specification tells them: every member required, no other allowed.
const schemas = `
openapi: 3.0.3
info: {title: SecurID Authentication API, version: "1"}
paths: {}
components:
  schemas:
    Code: {type: string, enum: [SUCCESS, FAIL, ERROR, CHALLENGE, IN_PROCESS]}
    Pair:
      type: object
      additionalProperties: false
      required: [name, value, dataType]
      properties:
        name: {type: string}
        value: {type: string}
        dataType: {type: string, enum: [STRING, INT32, INT64, BOOLEAN, BINARY, ISOTIME]}
    Pairs: {type: array, items: {$ref: '#/components/schemas/Pair'}}
    AuthNResponse:
      type: object
      additionalProperties: false
      required: [context, credentialValidationResults, attemptResponseCode, attemptReasonCode, challengeMethods]
      properties:
        context:
          type: object
          additionalProperties: false
          required: [authnAttemptId, messageId, inResponseTo]
          properties:
            authnAttemptId: {type: string}
            messageId: {type: string}
            inResponseTo: {type: string}
        attemptResponseCode: {$ref: '#/components/schemas/Code'}
        attemptReasonCode: {type: string, minLength: 1}
        credentialValidationResults:
          type: array
          items:
            type: object
            additionalProperties: false
            required: [methodId, methodResponseCode, methodReasonCode, authnAttributes]
            properties:
              methodId: {type: string}
              methodResponseCode: {$ref: '#/components/schemas/Code'}
              methodReasonCode: {type: string, minLength: 1}
              authnAttributes: {$ref: '#/components/schemas/Pairs'}
        challengeMethods:
          type: object
          additionalProperties: false
          required: [challenges]
          properties:
            challenges:
              type: array
              items:
                type: object
                additionalProperties: false
                required: [methodSetId, requiredMethods]
                properties:
                  methodSetId: {type: string, minLength: 1}
                  requiredMethods: {type: array, minItems: 1, maxItems: 1, items: {$ref: '#/components/schemas/AuthenticationMethod'}}
    AuthenticationMethod:
      type: object
      additionalProperties: false
      required: [methodId, displayName, priority, versions]
      properties:
        methodId: {type: string}
        displayName: {type: string, nullable: true}
        priority: {type: integer, nullable: true}
        versions:
          type: array
          minItems: 1
          maxItems: 1
          items:
            type: object
            additionalProperties: false
            required: [versionId, methodAttributes, valueRequired, referenceId, prompt]
            properties:
              versionId: {type: string, enum: ["1.0.0"]}
              methodAttributes: {$ref: '#/components/schemas/Pairs'}
              valueRequired: {type: boolean}
              referenceId: {type: string, nullable: true}
              prompt:
                type: object
                additionalProperties: false
                required: [promptResourceId, defaultText, formatRegex, defaultValue, valueBeingDefined, sensitive, minLength, maxLength, promptArgs]
                properties:
                  promptResourceId: {type: string, pattern: '^PROMPT\.[A-Z]+\.[A-Z_]+$'}
                  defaultText: {type: string, minLength: 1}
                  formatRegex: {type: string, nullable: true}
                  defaultValue: {type: string, nullable: true}
                  valueBeingDefined: {type: boolean}
                  sensitive: {type: boolean}
                  minLength: {type: integer, nullable: true}
                  maxLength: {type: integer, nullable: true}
                  promptArgs: {type: array, items: {type: string}}
    AuthNStatusResponse:
      type: object
      additionalProperties: false
      required: [attemptResponseCode, attemptReasonCode, subjectName, authnPolicyId, sessionAttributes, successfulMethods, attemptExpires]
      properties:
        attemptResponseCode: {$ref: '#/components/schemas/Code'}
        attemptReasonCode: {type: string, minLength: 1}
        subjectName: {type: string, nullable: true}
        authnPolicyId: {type: string, nullable: true}
        sessionAttributes: {$ref: '#/components/schemas/Pairs'}
        successfulMethods: {type: array, items: {type: string}}
        attemptExpires: {type: string, format: date-time, nullable: true}
`

var responses = func() openapi3.Schemas {
	document, err := openapi3.NewLoader().LoadFromData([]byte(schemas))
	if err != nil {
		panic(err)
	}
	return document.Components.Schemas
}()

// conforms fails the test unless a response is of its schema, and consistent in itself.
func (d document) conforms(endpoint string) {
	d.t.Helper()
	schema := map[string]string{"status": "AuthNStatusResponse", "resources": "Pairs"}[endpoint]
	if schema == "" {
		schema = "AuthNResponse"
	}
	if err := responses[schema].Value.VisitJSON(d.v); err != nil {
		d.t.Errorf("%s: %v\n%v", endpoint, err, d.v)
		return
	}
	if schema != "AuthNResponse" {
		return
	}
	challenged := len(d.at("challengeMethods.challenges").([]any)) > 0
	if challenged != (d.at("attemptResponseCode") == codeChallenge) {
		d.t.Errorf("challenges in a response that is none, or none in one: %v", d.v)
	}
}

// The schema itself finds what is missing, and what is too much.
func TestTheSchemaIsStrict(t *testing.T) {
	good := `{"context":{"authnAttemptId":"","messageId":"","inResponseTo":""},"credentialValidationResults":[],"attemptResponseCode":"FAIL",
		"attemptReasonCode":"VERIFY_ERROR","challengeMethods":{"challenges":[]}}`
	if err := responses["AuthNResponse"].Value.VisitJSON(parse(t, good).v); err != nil {
		t.Error(err)
	}
	for _, member := range []string{"context", "credentialValidationResults", "challengeMethods"} {
		bad := parse(t, good).v.(map[string]any)
		delete(bad, member)
		if responses["AuthNResponse"].Value.VisitJSON(bad) == nil {
			t.Errorf("a response without %s is taken", member)
		}
	}
	more := parse(t, good).v.(map[string]any)
	more["extra"] = true
	if responses["AuthNResponse"].Value.VisitJSON(more) == nil {
		t.Error("a response with another member is taken")
	}
}
