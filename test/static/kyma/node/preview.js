// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Reads what the chart gives to the dashboard, and objects, as JSON from standard input,
// and writes one page with everything that the dashboard would show of them: the list of
// ExtAuthPolicies, their details, and the panels in the pages of others. Each text is what
// the very expressions make of the objects. What an expression finds nothing for is "-",
// with the class "missing".
'use strict';
const fs = require('fs');
const { evaluate } = require('./evaluate.js');

const escape = (text) => String(text).replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);

// colours are those that the dashboard gives to a badge.
const badge = (highlights, value) => {
  const kind = Object.keys(highlights || {}).find((one) => highlights[one].includes(value)) || 'plain';
  return `<span class="badge ${kind}">${escape(value)}</span>`;
};

const text = (value, field) => {
  if (value === null || value === '') return '<span class="missing">-</span>';
  return field.widget === 'Badge' ? badge(field.highlights, value) : escape(value);
};

async function table(columns, rows, context) {
  const body = [];
  for (const item of rows) {
    const cells = [];
    for (const column of columns) {
      cells.push(`<td>${text(await evaluate({ ...context(item), expression: column.source }), column)}</td>`);
    }
    body.push(`<tr>${cells.join('')}</tr>`);
  }
  return `<table><thead><tr>${columns.map((one) => `<th>${escape(one.name)}</th>`).join('')}</tr></thead><tbody>${body.join('')}</tbody></table>`;
}

// field is one name with its value, or a table below its name.
async function field(one, context) {
  if (one.visibility && !(await evaluate({ ...context, expression: one.visibility }))) return '';
  const value = await evaluate({ ...context, expression: one.source });
  if (one.widget !== 'Table') return `<div class="field"><b>${escape(one.name)}</b>${text(value, one)}</div>`;
  const rows = await table(one.children, value || [], (item) => ({ ...context, item }));
  return `<h4>${escape(one.name)}</h4>${rows}`;
}

async function all(fields, context) {
  const parts = [];
  for (const one of fields) parts.push(await field(one, context));
  return parts.join('');
}

async function panel(one, context) {
  if (one.widget === 'Panel') return `<section><h3>${escape(one.name)}</h3>${await all(one.children, context)}</section>`;
  const main = await evaluate({ ...context, expression: one.mainValue.source });
  const others = await all(one.children, context);
  return `<section><h3>${escape(one.name)}</h3><div class="main">${text(main, one.mainValue)}</div>${escape(one.mainValue.name)}${others}</section>`;
}

const style = `
body { margin: 0; padding: 1rem; max-width: 75rem; background: #f5f6f7; color: #1d2d3e; font: 15px/1.5 system-ui, sans-serif }
h2 { margin: 1.5rem 0 .5rem; font-size: 1.1rem } h3 { margin: 0 0 .5rem; font-size: 1rem } h4 { margin: 1rem 0 .25rem; font-size: .9rem }
section { margin: .5rem 0; padding: 1rem; background: #fff; border: 1px solid #d9d9d9; border-radius: .5rem; overflow-x: auto }
.field { display: grid; grid-template-columns: 14rem 1fr; gap: .5rem; padding: .1rem 0 } .field b { font-weight: 400; color: #556b82 }
.main { font-size: 1.7rem } table { width: 100%; border-collapse: collapse } th, td { padding: .35rem .5rem; border-bottom: 1px solid #d9d9d9; text-align: left }
.badge { justify-self: start; font-weight: 600 } .positive { color: #256f3a } .negative { color: #aa0808 } .critical { color: #a45d00 } .informative { color: #0057d2 }`;

async function main() {
  const { list, details, injections, policies, objects } = JSON.parse(fs.readFileSync(0, 'utf8'));
  const dataSources = { policies: { items: policies } };
  const parts = [`<h2>ExtAuthPolicies</h2><section>${await table(list, policies, (root) => ({ root }))}</section>`];
  for (const root of policies) {
    parts.push(`<h2>ExtAuthPolicy ${escape(root.metadata.name)}</h2><section>${await all(details.header, { root })}${await all(details.body, { root })}</section>`);
  }
  for (const { location, object } of objects) {
    parts.push(`<h2>${escape(location)} ${escape(object.metadata.name)}</h2>`);
    for (const one of injections.filter((any) => any.targets.some((target) => target.location === location))) {
      parts.push(await panel(one, { root: object, embedResource: object, dataSources }));
    }
  }
  fs.writeSync(1, `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Preview</title><style>${style}</style></head><body><h1>In Kyma's dashboard</h1>${parts.join('\n')}</body></html>`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
