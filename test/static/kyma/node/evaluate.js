// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Reads questions as JSON from standard input and writes the answers: what JSONata
// makes of an expression, and whether a JSON Schema (draft-07) takes an object.
'use strict';
const fs = require('fs');
const jsonata = require('jsonata');
const Ajv = require('ajv');

async function evaluate({ expression, root, item, embedResource, dataSources }) {
  const compiled = jsonata(expression);
  for (const [name, value] of Object.entries(dataSources || {})) {
    compiled.registerFunction(name, () => value);
  }
  const bindings = { root, item: item === undefined ? root : item, embedResource };
  const value = await compiled.evaluate(root === undefined ? {} : root, bindings);
  return value === undefined ? null : value;
}

async function main() {
  const { expressions, schemas } = JSON.parse(fs.readFileSync(0, 'utf8'));
  const answers = { expressions: [], schemas: [] };
  for (const one of expressions) {
    try {
      answers.expressions.push({ value: await evaluate(one) });
    } catch (error) {
      answers.expressions.push({ error: error.message });
    }
  }
  const ajv = new Ajv({ strict: false });
  for (const { schema, object } of schemas) {
    answers.schemas.push(ajv.validate(schema, object));
  }
  fs.writeSync(1, JSON.stringify(answers));
}

module.exports = { evaluate };
if (require.main === module) {
  main().catch((error) => {
    console.error(error);
    process.exit(1);
  });
}
