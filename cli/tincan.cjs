#!/usr/bin/env node
'use strict';
/* The `tincan` command: the built program in an installed package, the sources in a checkout. */
const fs = require('node:fs');
const path = require('node:path');
const { run } = require('./runtime.cjs');

const source = path.join(__dirname, 'main.ts');
run(fs.existsSync(source) ? source : path.join(__dirname, '../dist/cli/main.js'), process.argv.slice(2));
