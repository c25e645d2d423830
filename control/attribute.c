/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes of a request: each is known, of the right size, and there once, or refused. */
#include "control/request.h"

#include <errno.h>
#include <string.h>

static int attribute_check(struct pw_request *request, const struct nlattr *attribute,
			   const char *what, const struct pw_attribute_policy *policy, uint16_t max,
			   const struct nlattr **table)
{
	uint16_t type = attribute->nla_type & NLA_TYPE_MASK;
	uint16_t size = (uint16_t)(attribute->nla_len - sizeof(*attribute));

	if (type > max || !policy[type].name)
		return pw_refuse(request, attribute, -EOPNOTSUPP,
				 "%s attribute %u is not supported", what, type);
	policy += type;
	if (table[type] && !policy->last)
		return pw_refuse(request, attribute, -EINVAL, "%s is there twice", policy->name);
	if (size < policy->min || (policy->max && size > policy->max)) {
		if (policy->min == policy->max)
			return pw_refuse(request, attribute, -EINVAL,
					 "%s has %u bytes instead of %u", policy->name, size,
					 policy->min);
		return pw_refuse(request, attribute, -EINVAL, "%s has %u bytes: too %s",
				 policy->name, size, size < policy->min ? "few" : "many");
	}
	table[type] = attribute;
	return 0;
}

int pw_request_parse(struct pw_request *request, const char *data, size_t size, const char *what,
		     const struct pw_attribute_policy *policy, uint16_t max,
		     const struct nlattr **table)
{
	memset(table, 0, (max + 1u) * sizeof(*table));
	while (size >= sizeof(struct nlattr)) {
		const struct nlattr *attribute = (const struct nlattr *)data;
		size_t step;
		int ret;

		if (attribute->nla_len < sizeof(*attribute) || attribute->nla_len > size)
			return pw_refuse(request, attribute, -EINVAL,
					 "%s attribute of impossible length %u", what,
					 attribute->nla_len);
		ret = attribute_check(request, attribute, what, policy, max, table);
		if (ret)
			return ret;
		step = NLA_ALIGN(attribute->nla_len);
		step = step < size ? step : size;
		data += step;
		size -= step;
	}
	if (size)
		return pw_refuse(request, NULL, -EINVAL, "%zu bytes left over behind %s attributes",
				 size, what);
	return 0;
}

int pw_request_attributes(struct pw_request *request, size_t header_size, const char *what,
			  const struct pw_attribute_policy *policy, uint16_t max,
			  const struct nlattr **table)
{
	const struct nlmsghdr *nlh = request->nlh;
	size_t size = mnl_nlmsg_get_payload_len(nlh);
	size_t header = NLMSG_ALIGN(header_size);

	if (size < header_size) {
		memset(table, 0, (max + 1u) * sizeof(*table));
		return pw_refuse(request, NULL, -EINVAL, "%s message of %zu bytes is too short",
				 what, size);
	}
	header = header < size ? header : size;
	return pw_request_parse(request, (const char *)mnl_nlmsg_get_payload(nlh) + header,
				size - header, what, policy, max, table);
}

int pw_request_nested(struct pw_request *request, const struct nlattr *nest, const char *what,
		      const struct pw_attribute_policy *policy, uint16_t max,
		      const struct nlattr **table)
{
	return pw_request_parse(request, mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest),
				what, policy, max, table);
}
