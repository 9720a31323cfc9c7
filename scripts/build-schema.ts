import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { schemaFiles, textOf } from './schema/list-schema.ts';

// Writes the JSON Schemas of the plugins' configs, and of whole lists, into a folder: build-schema.ts <folder>

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: build-schema.ts <folder>');
mkdirSync(folder, { recursive: true });
for (const [file, schema] of Object.entries(schemaFiles())) writeFileSync(join(folder, file), textOf(schema));
