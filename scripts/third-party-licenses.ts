import { bundledComponents } from './components.ts';

// Prints the licenses of everything that is bundled into the executables. Usage: third-party-licenses.ts <build's folder>

const components = bundledComponents(process.argv[2] ?? '');
console.log(
  'Waymark is licensed under the Apache License 2.0 (LICENSE). Its executables contain, each under its own:\n',
);
for (const { name, version, license } of components) console.log(`  ${name} ${version} (${license})`);
for (const { name, version, licenseText } of components) {
  console.log(`\n${'='.repeat(80)}\n${name} ${version}\n${'='.repeat(80)}\n\n${licenseText}`);
}
