//! The shape of a contract: one canonical text for each interface and world, the same for the
//! same component types, whatever the comments, the layout, and the order of functions.
//!
//! This is our own printer rather than wit-component's, whose output may change with its version:
//! then every locked hash would change without any contract having changed.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use cairn_componentize::wit_parser::{
    Function, Handle, Interface, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, TypeId,
    TypeOwner, World, WorldItem, WorldKey,
};

/// The world of all interfaces there are: nobody's contract, only for generating bindings, so it
/// grows with each new interface.
const GROWING_WORLD: &str = "everything";

/// Every interface and world that stands in the contracts: full name to shape.
pub(crate) fn shapes(resolve: &Resolve) -> Result<BTreeMap<String, String>> {
    let printer = Printer { resolve };
    let mut shapes = BTreeMap::new();
    for (_, package) in resolve.packages.iter() {
        if package.name.version.is_none() {
            bail!(
                "the package {} has no version: give it one, as `package {0}@1.0.0;`",
                package.name
            );
        }
        for (name, id) in &package.interfaces {
            let interface = resolve
                .interfaces
                .get(*id)
                .context("a package lost an interface")?;
            shapes.insert(
                package.name.interface_id(name),
                printer.interface(*id, interface)?,
            );
        }
        for (name, id) in &package.worlds {
            if name == GROWING_WORLD {
                continue;
            }
            let world = resolve.worlds.get(*id).context("a package lost a world")?;
            shapes.insert(package.name.interface_id(name), printer.world(world)?);
        }
    }
    Ok(shapes)
}

struct Printer<'a> {
    resolve: &'a Resolve,
}

impl Printer<'_> {
    /// One line a type and function, sorted: their order means nothing to a component.
    fn interface(&self, id: InterfaceId, interface: &Interface) -> Result<String> {
        let owner = TypeOwner::Interface(id);
        let mut lines = Vec::new();
        for (name, id) in &interface.types {
            lines.push(self.definition(owner, name, *id)?);
        }
        for function in interface.functions.values() {
            lines.push(self.function(function)?);
        }
        lines.sort();
        Ok(format!("interface\n{}\n", lines.join("\n")))
    }

    fn world(&self, world: &World) -> Result<String> {
        let mut lines = Vec::new();
        for (direction, items) in [("import", &world.imports), ("export", &world.exports)] {
            for (key, item) in items {
                lines.push(format!("{direction} {}", self.world_item(key, item)?));
            }
        }
        lines.sort();
        Ok(format!("world\n{}\n", lines.join("\n")))
    }

    fn world_item(&self, key: &WorldKey, item: &WorldItem) -> Result<String> {
        let name = self.resolve.name_world_key(key);
        match item {
            WorldItem::Interface { id, .. } => match key {
                WorldKey::Interface(_) => Ok(name),
                WorldKey::Name(_) => {
                    let interface = self
                        .resolve
                        .interfaces
                        .get(*id)
                        .context("a lost interface")?;
                    Ok(format!(
                        "{name}: {}",
                        self.interface(*id, interface)?.replace('\n', ";")
                    ))
                }
            },
            WorldItem::Function(function) => self.function(function),
            WorldItem::Type { id, .. } => self.definition(TypeOwner::None, &name, *id),
        }
    }

    /// `owner` defines the name; a type of another owner under it is a `use`.
    fn definition(&self, owner: TypeOwner, name: &str, id: TypeId) -> Result<String> {
        let definition = self.type_definition(id)?;
        if let TypeDefKind::Type(Type::Id(target)) = &definition.kind {
            let target_owner = self.type_definition(*target)?.owner;
            if target_owner != owner {
                return Ok(format!("use {} as {name}", self.full_name(*target)?));
            }
        }
        Ok(format!("type {name} = {}", self.kind(definition)?))
    }

    fn function(&self, function: &Function) -> Result<String> {
        let mut parameters = Vec::new();
        for parameter in &function.params {
            parameters.push(format!(
                "{}: {}",
                parameter.name,
                self.type_name(&parameter.ty)?
            ));
        }
        let kind = if function.kind.is_async() {
            "async func"
        } else {
            "func"
        };
        let result = self.optional(function.result.as_ref())?;
        Ok(format!(
            "{kind} {}({}) -> {result}",
            function.name,
            parameters.join(", ")
        ))
    }

    fn type_definition(&self, id: TypeId) -> Result<&TypeDef> {
        self.resolve.types.get(id).context("a contract lost a type")
    }

    /// `cairn:plugin/types@1.0.0.error`
    fn full_name(&self, id: TypeId) -> Result<String> {
        let definition = self.type_definition(id)?;
        let name = definition
            .name
            .as_deref()
            .context("a used type has no name")?;
        let owner = match definition.owner {
            TypeOwner::Interface(interface) => self.resolve.id_of(interface),
            TypeOwner::World(_) | TypeOwner::None => None,
        };
        Ok(owner.map_or_else(|| name.to_owned(), |owner| format!("{owner}.{name}")))
    }

    fn optional(&self, ty: Option<&Type>) -> Result<String> {
        ty.map_or(Ok("_".to_owned()), |ty| self.type_name(ty))
    }

    /// A named type by its name, any other by what it is.
    fn type_name(&self, ty: &Type) -> Result<String> {
        let name = match ty {
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "s8",
            Type::S16 => "s16",
            Type::S32 => "s32",
            Type::S64 => "s64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "string",
            Type::ErrorContext => "error-context",
            Type::Id(id) => {
                let definition = self.type_definition(*id)?;
                return match &definition.name {
                    Some(name) => Ok(name.clone()),
                    None => self.kind(definition),
                };
            }
        };
        Ok(name.to_owned())
    }

    fn kind(&self, definition: &TypeDef) -> Result<String> {
        Ok(match &definition.kind {
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter().map(|f| (f.name.as_str(), Some(&f.ty)));
                format!("record {{ {} }}", self.members(fields)?)
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant
                    .cases
                    .iter()
                    .map(|c| (c.name.as_str(), c.ty.as_ref()));
                format!("variant {{ {} }}", self.members(cases)?)
            }
            TypeDefKind::Enum(cases) => {
                let names: Vec<_> = cases.cases.iter().map(|case| case.name.as_str()).collect();
                format!("enum {{ {} }}", names.join(", "))
            }
            TypeDefKind::Flags(flags) => {
                let names: Vec<_> = flags.flags.iter().map(|flag| flag.name.as_str()).collect();
                format!("flags {{ {} }}", names.join(", "))
            }
            TypeDefKind::Tuple(tuple) => {
                let types: Result<Vec<_>> = tuple.types.iter().map(|t| self.type_name(t)).collect();
                format!("tuple<{}>", types?.join(", "))
            }
            TypeDefKind::Result(result) => {
                let (ok, err) = (result.ok.as_ref(), result.err.as_ref());
                format!("result<{}, {}>", self.optional(ok)?, self.optional(err)?)
            }
            TypeDefKind::Resource => "resource".to_owned(),
            TypeDefKind::Handle(Handle::Own(id)) => {
                format!("own<{}>", self.type_name(&Type::Id(*id))?)
            }
            TypeDefKind::Handle(Handle::Borrow(id)) => {
                format!("borrow<{}>", self.type_name(&Type::Id(*id))?)
            }
            TypeDefKind::Option(ty) => format!("option<{}>", self.type_name(ty)?),
            TypeDefKind::List(ty) => format!("list<{}>", self.type_name(ty)?),
            TypeDefKind::FixedLengthList(ty, length) => {
                format!("list<{}, {length}>", self.type_name(ty)?)
            }
            TypeDefKind::Map(key, value) => {
                format!("map<{}, {}>", self.type_name(key)?, self.type_name(value)?)
            }
            TypeDefKind::Future(ty) => format!("future<{}>", self.optional(ty.as_ref())?),
            TypeDefKind::Stream(ty) => format!("stream<{}>", self.optional(ty.as_ref())?),
            TypeDefKind::Type(ty) => self.type_name(ty)?,
            TypeDefKind::Unknown => bail!("a type of the contracts is not resolved"),
        })
    }

    /// In their order: it is part of the type.
    fn members<'t>(
        &self,
        members: impl Iterator<Item = (&'t str, Option<&'t Type>)>,
    ) -> Result<String> {
        let mut printed = Vec::new();
        for (name, ty) in members {
            printed.push(format!("{name}: {}", self.optional(ty)?));
        }
        Ok(printed.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published hashes rest on this text: it may never change for the same contract.
    const CONTRACT: &str = "package t:all@1.2.3;
        interface other { enum colour { red, green } }
        interface kinds {
            use other.{colour as shade};
            record point { x: s32, y: option<f64> }
            variant answer { none, some-of(list<u8>), pair(tuple<bool, char>) }
            flags access { read, write }
            type name = string;
            resource file {
                constructor(name: name);
                read: func() -> result<list<u8>, shade>;
                open: static func(point: borrow<file>) -> own<file>;
            }
            look: async func(at: point, how: access) -> result<_, answer>;
            forget: func();
        }
        world w { import other; export kinds; export run: func(colour: u8) -> result; }";

    const KINDS: &str = "interface
async func look(at: point, how: access) -> result<_, answer>
func [constructor]file(name: name) -> own<file>
func [method]file.read(self: borrow<file>) -> result<list<u8>, shade>
func [static]file.open(point: borrow<file>) -> own<file>
func forget() -> _
type access = flags { read, write }
type answer = variant { none: _, some-of: list<u8>, pair: tuple<bool, char> }
type file = resource
type name = string
type point = record { x: s32, y: option<f64> }
use t:all/other@1.2.3.colour as shade
";

    #[test]
    fn the_shape_of_every_kind_of_type_is_fixed() {
        let mut resolve = Resolve::default();
        resolve.push_str("all.wit", CONTRACT).unwrap();
        let shapes = shapes(&resolve).unwrap();
        assert_eq!(shapes["t:all/kinds@1.2.3"], KINDS);
        assert_eq!(
            shapes["t:all/other@1.2.3"],
            "interface\ntype colour = enum { red, green }\n"
        );
        assert_eq!(
            shapes["t:all/w@1.2.3"],
            "world\nexport func run(colour: u8) -> result<_, _>\nexport t:all/kinds@1.2.3\n\
             import t:all/other@1.2.3\n"
        );
        assert_eq!(shapes.len(), 3);
    }
}
