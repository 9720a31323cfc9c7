let building = false;

/**
 * Is this process taking the start-up snapshot of an executable? Then it must not remember what is the machine's own.
 * (`node:v8` says so too, but loading it takes a process 3 ms.)
 */
export function isBuildingSnapshot(): boolean {
  return building;
}

/** For whoever takes one, and for what starts from it. */
export function setBuildingSnapshot(isBuilding: boolean): void {
  building = isBuilding;
}
