import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Enums, Models, Serialize, Spec } from '@cyclonedx/cyclonedx-library';
import { bundledComponents, type Component } from './components.ts';

// Prints the software bill of materials of a release: CycloneDX 1.6, as JSON. VERSION, REVISION and SOURCE_DATE_EPOCH
// identify the release. Usage: sbom.ts <build's folder> <tarball>...

const [dist = '', ...tarballs] = process.argv.slice(2);
const { VERSION = '', REVISION = '', SOURCE_DATE_EPOCH = '' } = process.env;

const waymark = new Models.Component(Enums.ComponentType.Application, 'waymark', {
  version: VERSION,
  bomRef: `pkg:generic/waymark@${VERSION}`,
  purl: `pkg:generic/waymark@${VERSION}`,
  licenses: new Models.LicenseRepository([new Models.SpdxLicense('Apache-2.0')]),
  externalReferences: new Models.ExternalReferenceRepository(
    tarballs.map((file) => distribution(basename(file), Enums.HashAlgorithm['SHA-256'], sha256(readFileSync(file)))),
  ),
  properties: new Models.PropertyRepository([new Models.Property('waymark:revision', REVISION)]),
});
const components = bundledComponents(dist).map(asComponent);
for (const component of components) waymark.dependencies.add(component.bomRef);

const bom = new Models.Bom({
  // The same release must have the same serial number, so it is derived from what identifies the release.
  serialNumber: `urn:uuid:${uuidOf(`waymark ${VERSION} ${REVISION}`)}`,
  metadata: new Models.Metadata({ component: waymark, timestamp: new Date(Number(SOURCE_DATE_EPOCH) * 1000) }),
  components: new Models.ComponentRepository(components),
});
const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6));
console.log(serializer.serialize(bom, { sortLists: true, space: 1 }));

function asComponent({ name, version, purl, license, origins, parts }: Component): Models.Component {
  const [, group, bare = name] = /^(@[^/]+)\/(.*)$/.exec(name) ?? [];
  return new Models.Component(name === 'node' ? Enums.ComponentType.Platform : Enums.ComponentType.Library, bare, {
    ...(group !== undefined && { group }),
    version,
    purl,
    bomRef: purl,
    licenses: new Models.LicenseRepository([new Models.SpdxLicense(license)]),
    externalReferences: new Models.ExternalReferenceRepository(
      origins.map(({ url, sha512 }) => distribution(url, Enums.HashAlgorithm['SHA-512'], sha512)),
    ),
    components: new Models.ComponentRepository(parts.map(asPart)),
  });
}

function asPart({ name, version }: Component['parts'][number]): Models.Component {
  const purl = `pkg:generic/${name}@${version}`;
  return new Models.Component(Enums.ComponentType.Library, name, { version, purl, bomRef: purl });
}

function distribution(url: string, algorithm: Enums.HashAlgorithm, hash: string): Models.ExternalReference {
  return new Models.ExternalReference(url, Enums.ExternalReferenceType.Distribution, {
    hashes: new Models.HashDictionary([[algorithm, hash]]),
  });
}

function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

/** A name-based UUID, version 8 of RFC 9562. */
function uuidOf(name: string): string {
  const hex = sha256(name);
  return [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    '-',
  );
}
